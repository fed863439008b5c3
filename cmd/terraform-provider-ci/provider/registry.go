package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/ci"
)

type registryModel struct {
	Host            types.String `tfsdk:"host"`
	Username        types.String `tfsdk:"username"`
	Password        types.String `tfsdk:"password"`
	PasswordVersion types.Int64  `tfsdk:"password_version"`
	UpdatedAt       types.String `tfsdk:"updated_at"`
}

func registry() kind[registryModel] {
	return kind[registryModel]{
		name: "registry", schema: registrySchema(), id: []string{"host"},
		check: func(given *registryModel) error { return given.access(given.Password).Validate() },
		create: func(ctx context.Context, s *server, want, given *registryModel) (*registryModel, error) {
			host := want.Host.ValueString()
			if _, err := findRegistry(ctx, s, host); ci.CodeOf(err) != ci.CodeNotFound {
				return nil, firstOf(err, exists("registry account", host, host))
			}
			return putRegistry(ctx, s, want, given)
		},
		read: readRegistry,
		update: func(ctx context.Context, s *server, want, _, given *registryModel) (*registryModel, error) {
			return putRegistry(ctx, s, want, given)
		},
		remove: func(ctx context.Context, s *server, have *registryModel) error {
			return s.DeleteRegistry(ctx, have.Host.ValueString())
		},
	}
}

// readRegistry can't see passwords. It sees that somebody else has set the
// account, and lets go of password_version then: the next plan sets it again.
func readRegistry(ctx context.Context, s *server, have *registryModel) (*registryModel, error) {
	there, err := findRegistry(ctx, s, have.Host.ValueString())
	if err != nil {
		return nil, err
	}
	at := types.StringValue(there.UpdatedAt.Format(time.RFC3339Nano))
	if !at.Equal(have.UpdatedAt) {
		have.PasswordVersion = types.Int64Null()
	}
	have.Username, have.UpdatedAt = types.StringValue(there.Username), at
	return have, nil
}

// putRegistry takes the password from the configuration, the only place that has it.
func putRegistry(ctx context.Context, s *server, want, given *registryModel) (*registryModel, error) {
	stored, err := s.PutRegistry(ctx, *want.access(given.Password))
	if err != nil {
		return nil, err
	}
	want.UpdatedAt, want.Password = types.StringValue(stored.UpdatedAt.Format(time.RFC3339Nano)), types.StringNull()
	return want, nil
}

func (m *registryModel) access(password types.String) *ci.RegistryAccess {
	return &ci.RegistryAccess{Host: m.Host.ValueString(), Username: m.Username.ValueString(), Password: password.ValueString()}
}

func findRegistry(ctx context.Context, s *server, host string) (ci.Registry, error) {
	list, err := s.ListRegistries(ctx)
	if err != nil {
		return ci.Registry{}, err
	}
	for _, found := range list {
		if found.Host == host {
			return found, nil
		}
	}
	return ci.Registry{}, ci.Errorf(ci.CodeNotFound, "there is no account at the registry %s", host)
}

func registrySchema() schema.Schema {
	return schema.Schema{
		MarkdownDescription: "An account at an image registry, for pulls. Its password is write-only, as the value of a `ci_secret` is.",
		Attributes: map[string]schema.Attribute{
			"host":             nameAttribute("The registry as image references name it: `docker.io`, `registry.example.com:5000`."),
			"username":         schema.StringAttribute{Required: true, MarkdownDescription: "Who pulls."},
			"password":         unseenAttribute("The password, or a token of the registry.", true),
			"password_version": againAttribute("the password"),
			"updated_at":       schema.StringAttribute{Computed: true, MarkdownDescription: "When anybody has set it last."},
		},
	}
}
