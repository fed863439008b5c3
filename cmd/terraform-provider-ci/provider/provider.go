// Package provider is the provider for OpenTofu and Terraform: what people
// declare, kept on a server by its API alone. Each kind of resource is one
// file; managed.go is what they share.
package provider

import (
	"context"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/path"
	frame "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/api"
)

// Address is how configurations name the provider as their source. It is in no
// registry; docs/terraform/README.md says where its file goes.
const Address = "ci.local/ci/ci"

// server is what a configured provider gives its resources.
type server struct {
	*api.Client
	// pipelines is the client of pipelines, which may be a process of their own.
	pipelines *api.Client
}

type provider struct{ version string }

// New returns the maker of providers that the plugin framework asks for.
func New(version string) func() frame.Provider {
	return func() frame.Provider { return &provider{version: version} }
}

type settings struct {
	URL          types.String `tfsdk:"url"`
	Token        types.String `tfsdk:"token"`
	PipelinesURL types.String `tfsdk:"pipelines_url"`
}

func (p *provider) Metadata(_ context.Context, _ frame.MetadataRequest, resp *frame.MetadataResponse) {
	resp.TypeName, resp.Version = "ci", p.version
}

func (p *provider) Schema(_ context.Context, _ frame.SchemaRequest, resp *frame.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Keeps jobs, secrets, SSH keys, registry accounts, tokens, forges, event triggers, pipelines and the configuration of a ci server.",
		Attributes: map[string]schema.Attribute{
			"url": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "The server's address, for example `http://127.0.0.1:8080`. Default: the environment variable `CI_URL`.",
			},
			"token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "A bearer token, of role `maintain` for jobs, secrets, event triggers and pipelines, else `admin`. Default: the environment variable `CI_TOKEN`, which keeps it out of files.",
			},
			"pipelines_url": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Where pipelines are served, when that is a process of their own. Default: `url`.",
			},
		},
	}
}

func (p *provider) Configure(ctx context.Context, req frame.ConfigureRequest, resp *frame.ConfigureResponse) {
	var s settings
	resp.Diagnostics.Append(req.Config.Get(ctx, &s)...)
	if resp.Diagnostics.HasError() {
		return
	}
	open := func(attribute string, url types.String, variable string) *api.Client {
		if url.IsUnknown() || s.Token.IsUnknown() {
			resp.Diagnostics.AddAttributeError(path.Root(attribute), "The server is not known yet",
				"The address or the token comes from something that is only made by this apply. Apply that first, with -target, or give CI_URL and CI_TOKEN.")
			return nil
		}
		c, err := api.New(api.Config{URL: or(url, variable), Token: or(s.Token, "CI_TOKEN"), UserAgent: "terraform-provider-ci/" + p.version})
		if err != nil {
			resp.Diagnostics.AddAttributeError(path.Root(attribute), "The server can't be called", err.Error()+". Set url, or the environment variable CI_URL.")
		}
		return c
	}
	made := &server{Client: open("url", s.URL, "CI_URL")}
	if made.pipelines = made.Client; !s.PipelinesURL.IsNull() {
		made.pipelines = open("pipelines_url", s.PipelinesURL, "")
	}
	if or(s.Token, "CI_TOKEN") == "" {
		resp.Diagnostics.AddAttributeError(path.Root("token"), "There is no token", "Set the environment variable CI_TOKEN, or token, to a bearer token. `ci token create` makes one.")
	}
	if resp.Diagnostics.HasError() {
		return
	}
	resp.ResourceData, resp.EphemeralResourceData = made, made
}

// or is a setting, or what the environment says.
func or(v types.String, variable string) string {
	if v.ValueString() == "" && variable != "" {
		return os.Getenv(variable)
	}
	return v.ValueString()
}

func (p *provider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		managedAs(job()), managedAs(secret()), managedAs(sshKey()), managedAs(token()),
		managedAs(eventTrigger()), managedAs(pipeline()), managedAs(config()), managedAs(registry()), managedAs(forge()),
	}
}

func (p *provider) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (p *provider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{newLease}
}
