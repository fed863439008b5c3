package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/ci"
)

type forgeModel struct {
	Name          types.String `tfsdk:"name"`
	Kind          types.String `tfsdk:"kind"`
	URL           types.String `tfsdk:"url"`
	APIURL        types.String `tfsdk:"api_url"`
	AppID         types.Int64  `tfsdk:"app_id"`
	Slug          types.String `tfsdk:"slug"`
	PrivateKey    types.String `tfsdk:"private_key"`
	WebhookSecret types.String `tfsdk:"webhook_secret"`
	Token         types.String `tfsdk:"token"`
	KeysVersion   types.Int64  `tfsdk:"keys_version"`
	Version       types.Int64  `tfsdk:"version"`
}

func forge() kind[forgeModel] {
	return kind[forgeModel]{
		name: "forge", schema: forgeSchema(), id: []string{"name"},
		check: func(given *forgeModel) error { return given.access(given).Validate() },
		create: func(ctx context.Context, s *server, want, given *forgeModel) (*forgeModel, error) {
			name := want.Name.ValueString()
			if _, err := findForge(ctx, s, name); ci.CodeOf(err) != ci.CodeNotFound {
				return nil, firstOf(err, exists("forge", name, name))
			}
			return putForge(ctx, s, want, given, 0)
		},
		read: readForge,
		update: func(ctx context.Context, s *server, want, have, given *forgeModel) (*forgeModel, error) {
			return putForge(ctx, s, want, given, have.Version.ValueInt64())
		},
		remove: func(ctx context.Context, s *server, have *forgeModel) error {
			return s.DeleteForge(ctx, have.Name.ValueString())
		},
	}
}

// readForge can't see keys. It sees that somebody else has changed the forge,
// and lets go of keys_version then: the next plan sets the keys again.
func readForge(ctx context.Context, s *server, have *forgeModel) (*forgeModel, error) {
	there, err := findForge(ctx, s, have.Name.ValueString())
	if err != nil {
		return nil, err
	}
	now := forgeFrom(there)
	if now.KeysVersion = have.KeysVersion; !now.Version.Equal(have.Version) {
		now.KeysVersion = types.Int64Null()
	}
	return now, nil
}

// putForge takes the keys from the configuration, the only place that has them.
func putForge(ctx context.Context, s *server, want, given *forgeModel, ifVersion int64) (*forgeModel, error) {
	stored, _, err := s.PutForge(ctx, *want.access(given), ifVersion)
	if err != nil {
		return nil, err
	}
	now := forgeFrom(stored)
	now.KeysVersion = want.KeysVersion
	return now, nil
}

func (m *forgeModel) access(given *forgeModel) *ci.ForgeAccess {
	return &ci.ForgeAccess{
		Forge: ci.Forge{
			Name: m.Name.ValueString(), Kind: ci.ForgeKind(m.Kind.ValueString()), URL: m.URL.ValueString(), API: m.APIURL.ValueString(),
			AppID: m.AppID.ValueInt64(), Slug: m.Slug.ValueString(),
		},
		ForgeKeys: ci.ForgeKeys{
			PrivateKey: given.PrivateKey.ValueString(), WebhookSecret: given.WebhookSecret.ValueString(), Token: given.Token.ValueString(),
		},
	}
}

func forgeFrom(f ci.Forge) *forgeModel {
	return &forgeModel{
		Name: types.StringValue(f.Name), Kind: types.StringValue(string(f.Kind)), URL: types.StringValue(f.URL), APIURL: types.StringValue(f.API),
		AppID: types.Int64Value(f.AppID), Slug: types.StringValue(f.Slug), Version: types.Int64Value(f.Version),
	}
}

func findForge(ctx context.Context, s *server, name string) (ci.Forge, error) {
	list, err := s.ListForges(ctx)
	if err != nil {
		return ci.Forge{}, err
	}
	for _, found := range list {
		if found.Name == name {
			return found, nil
		}
	}
	return ci.Forge{}, ci.Errorf(ci.CodeNotFound, "there is no forge %s", name)
}

func forgeSchema() schema.Schema {
	return schema.Schema{
		MarkdownDescription: "A server that hosts repositories: its webhooks come to `/hooks/NAME` and start runs by `ci_event_trigger`. What opens it is write-only, as the value of a `ci_secret` is. " +
			"A GitHub App is made with a browser: `ci forge setup` does that and makes the forge too.",
		Attributes: map[string]schema.Attribute{
			"name":    nameAttribute("How event triggers name it; `github` is the usual one."),
			"kind":    schema.StringAttribute{Required: true, MarkdownDescription: "`github`, `gitlab` or `gitea`."},
			"url":     schema.StringAttribute{Required: true, MarkdownDescription: "Where people and git reach it: `https://github.com`."},
			"api_url": textAttribute("Where its REST API lies, if not at the usual place."),
			"app_id": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(0),
				MarkdownDescription: "The GitHub App's number; without one it works with a token.",
			},
			"slug":           textAttribute("The App's name in addresses."),
			"private_key":    unseenAttribute("The GitHub App's private key, in PEM.", false),
			"webhook_secret": unseenAttribute("What the forge signs its webhooks with, or shows with them.", true),
			"token":          unseenAttribute("An access token, for forges without an App.", false),
			"keys_version":   againAttribute("the keys"),
			"version":        versionAttribute(),
		},
	}
}
