package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/ci"
)

type secretModel struct {
	Job          types.String `tfsdk:"job"`
	Name         types.String `tfsdk:"name"`
	Value        types.String `tfsdk:"value"`
	ValueVersion types.Int64  `tfsdk:"value_version"`
	Version      types.Int64  `tfsdk:"version"`
}

func secret() kind[secretModel] {
	return kind[secretModel]{
		name: "secret", schema: secretSchema(), id: []string{"job", "name"},
		check: func(given *secretModel) error {
			return ci.ValidateSecret(given.Name.ValueString(), given.Value.ValueString())
		},
		create: func(ctx context.Context, s *server, want, given *secretModel) (*secretModel, error) {
			job, name := want.Job.ValueString(), want.Name.ValueString()
			switch _, err := findSecret(ctx, s, job, name); {
			case err == nil:
				return nil, exists("secret", name+" of job "+job, job+"/"+name)
			case ci.CodeOf(err) != ci.CodeNotFound:
				return nil, err
			}
			return putSecret(ctx, s, want, given)
		},
		read: readSecret,
		update: func(ctx context.Context, s *server, want, _, given *secretModel) (*secretModel, error) {
			return putSecret(ctx, s, want, given)
		},
		remove: func(ctx context.Context, s *server, have *secretModel) error {
			return s.DeleteSecret(ctx, have.Job.ValueString(), have.Name.ValueString())
		},
	}
}

// readSecret can't see values. It sees that somebody else has set one, and lets
// go of value_version then: the next plan sets the value again.
func readSecret(ctx context.Context, s *server, have *secretModel) (*secretModel, error) {
	there, err := findSecret(ctx, s, have.Job.ValueString(), have.Name.ValueString())
	if err != nil {
		return nil, err
	}
	if there.Version != have.Version.ValueInt64() {
		have.ValueVersion = types.Int64Null()
	}
	have.Version = types.Int64Value(there.Version)
	return have, nil
}

// putSecret takes the value from the configuration, the only place that has it.
func putSecret(ctx context.Context, s *server, want, given *secretModel) (*secretModel, error) {
	stored, err := s.PutSecret(ctx, want.Job.ValueString(), want.Name.ValueString(), given.Value.ValueString())
	if err != nil {
		return nil, err
	}
	want.Version, want.Value = types.Int64Value(stored.Version), types.StringNull()
	return want, nil
}

func findSecret(ctx context.Context, s *server, job, name string) (ci.Secret, error) {
	list, err := s.ListSecrets(ctx, job)
	if err != nil {
		return ci.Secret{}, err
	}
	for _, found := range list {
		if found.Name == name {
			return found, nil
		}
	}
	return ci.Secret{}, ci.Errorf(ci.CodeNotFound, "job %s has no secret %s", job, name)
}

func secretSchema() schema.Schema {
	return schema.Schema{
		MarkdownDescription: "A secret of a job. Its value is write-only: it is in no plan and in no state. " +
			"So a change of the value alone is not seen; raise `value_version` to have it set. " +
			"That somebody else has set the secret is seen by its version, and the next apply sets it again. Needs OpenTofu 1.11 or Terraform 1.11.",
		Attributes: map[string]schema.Attribute{
			"job":           nameAttribute("The job whose runs may ask for it."),
			"name":          nameAttribute("Scripts find it in their environment under this name."),
			"value":         unseenAttribute("The value.", true),
			"value_version": againAttribute("the value"),
			"version":       schema.Int64Attribute{Computed: true, MarkdownDescription: "Grows with each value that anybody sets."},
		},
	}
}
