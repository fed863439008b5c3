package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"

	"ci/pkg/ci"
)

// kind is one kind of resource: what people may say of it, and how the API
// keeps it. M is its attributes. All functions return errors of pkg/ci.
type kind[M any] struct {
	name   string // without the provider's
	schema schema.Schema
	// id are the attributes that an import names, separated by slashes. One that
	// there is once on a server has fixed instead, and no attributes to name.
	id    []string
	fixed string
	// text is the attribute with a text whose lines the API's faults name; "" has none.
	text string
	// check says what is wrong with a configuration before anything is asked. nil checks nothing.
	check func(given *M) error
	// create makes what is wanted and returns it as it is then. What there is
	// already it must not touch. given is the configuration, which alone has
	// values that are never stored.
	create func(ctx context.Context, s *server, want, given *M) (*M, error)
	// read returns what there is; ci.CodeNotFound when it is gone.
	read func(ctx context.Context, s *server, have *M) (*M, error)
	// update changes what the state has to what is wanted. nil when every change makes it anew.
	update func(ctx context.Context, s *server, want, have, given *M) (*M, error)
	// remove removes it; ci.CodeNotFound is fine.
	remove func(ctx context.Context, s *server, have *M) error
	// kept is the warning that remove removes nothing, "" when it does.
	kept string
}

// managed carries a kind out for the plugin framework.
type managed[M any] struct {
	kind[M]
	server *server
}

func managedAs[M any](k kind[M]) func() resource.Resource {
	return func() resource.Resource { return &managed[M]{kind: k} }
}

func (m *managed[M]) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + m.name
}

func (m *managed[M]) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = m.schema
	resp.Schema.MarkdownDescription += " Its id, for imports, is `" + m.idForm() + "`."
}

// Configure comes without data when only a configuration is validated.
func (m *managed[M]) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	m.server, _ = req.ProviderData.(*server)
}

// ValidateConfig checks what is wholly known. The rest is checked by the server when it is made.
func (m *managed[M]) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	if m.check == nil || !req.Config.Raw.IsFullyKnown() {
		return
	}
	given := new(M)
	resp.Diagnostics.Append(req.Config.Get(ctx, given)...)
	if resp.Diagnostics.HasError() {
		return
	}
	m.fault(ctx, &resp.Diagnostics, "is not valid", m.check(given))
}

func (m *managed[M]) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	want, given := new(M), new(M)
	resp.Diagnostics.Append(req.Plan.Get(ctx, want)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, given)...)
	if resp.Diagnostics.HasError() {
		return
	}
	made, err := m.create(ctx, m.server, want, given)
	if err != nil {
		m.fault(ctx, &resp.Diagnostics, "can't be created", err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, made)...)
}

func (m *managed[M]) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	have := new(M)
	resp.Diagnostics.Append(req.State.Get(ctx, have)...)
	if resp.Diagnostics.HasError() {
		return
	}
	now, err := m.read(ctx, m.server, have)
	switch {
	case ci.CodeOf(err) == ci.CodeNotFound:
		resp.State.RemoveResource(ctx)
	case err != nil:
		m.fault(ctx, &resp.Diagnostics, "can't be read", err)
	default:
		resp.Diagnostics.Append(resp.State.Set(ctx, now)...)
	}
}

func (m *managed[M]) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	want, have, given := new(M), new(M), new(M)
	resp.Diagnostics.Append(req.Plan.Get(ctx, want)...)
	resp.Diagnostics.Append(req.State.Get(ctx, have)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, given)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if m.update == nil {
		resp.Diagnostics.AddError(m.title("can't be changed"), "Every change makes it anew, so this should not have been asked for. Please report it.")
		return
	}
	made, err := m.update(ctx, m.server, want, have, given)
	if err != nil {
		m.fault(ctx, &resp.Diagnostics, "can't be changed", err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, made)...)
}

func (m *managed[M]) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	if m.kept != "" {
		resp.Diagnostics.AddWarning(m.title("stays as it is"), m.kept)
		return
	}
	have := new(M)
	resp.Diagnostics.Append(req.State.Get(ctx, have)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if err := m.remove(ctx, m.server, have); ci.CodeOf(err) != ci.CodeNotFound {
		m.fault(ctx, &resp.Diagnostics, "can't be deleted", err)
	}
}

func (m *managed[M]) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if m.fixed != "" {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), m.fixed)...)
		return
	}
	parts := strings.Split(req.ID, "/")
	if len(parts) != len(m.id) || strings.Contains("/"+req.ID+"/", "//") {
		resp.Diagnostics.AddError(m.title("can't be imported"), fmt.Sprintf("%q is not its id, which is %s.", req.ID, m.idForm()))
		return
	}
	for i, attribute := range m.id {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(attribute), parts[i])...)
	}
}

// idForm shows people the form of an import's id.
func (m *managed[M]) idForm() string {
	if m.fixed != "" {
		return m.fixed
	}
	return strings.ToUpper(strings.Join(m.id, "/"))
}

// title heads a message. OpenTofu names the resource below it.
func (m *managed[M]) title(what string) string {
	return "The " + strings.ReplaceAll(m.name, "_", " ") + " " + what
}
