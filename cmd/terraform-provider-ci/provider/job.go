package provider

import (
	"context"
	"encoding/json"
	"reflect"

	"github.com/hashicorp/terraform-plugin-framework-jsontypes/jsontypes"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/ci"
)

type jobModel struct {
	Name       types.String         `tfsdk:"name"`
	Git        *gitModel            `tfsdk:"git"`
	Freestyle  jsontypes.Normalized `tfsdk:"freestyle"`
	Parameters []parameterModel     `tfsdk:"parameters"`
	Triggers   []string             `tfsdk:"triggers"`
	Owner      types.String         `tfsdk:"owner"`
	Keep       *keepModel           `tfsdk:"keep"`
	Version    types.Int64          `tfsdk:"version"`
}

type gitModel struct {
	URL        types.String `tfsdk:"url"`
	ConfigPath types.String `tfsdk:"config_path"`
	SSHKey     types.String `tfsdk:"ssh_key"`
}

type parameterModel struct {
	Name        types.String `tfsdk:"name"`
	Default     types.String `tfsdk:"default"`
	Required    types.Bool   `tfsdk:"required"`
	Description types.String `tfsdk:"description"`
}

func job() kind[jobModel] {
	return kind[jobModel]{
		name: "job", schema: jobSchema(), id: []string{"name"},
		check:  func(given *jobModel) error { return given.job().Validate() },
		create: createJob,
		read: func(ctx context.Context, s *server, have *jobModel) (*jobModel, error) {
			j, err := s.GetJob(ctx, have.Name.ValueString())
			if err != nil {
				return nil, err
			}
			return jobFrom(j, have), nil
		},
		update: func(ctx context.Context, s *server, want, have, _ *jobModel) (*jobModel, error) {
			return putJob(ctx, s, want, have.Version.ValueInt64())
		},
		remove: func(ctx context.Context, s *server, have *jobModel) error {
			return s.DeleteJob(ctx, have.Name.ValueString())
		},
	}
}

// createJob makes a job that is not there. The client repeats a call whose
// answer was lost, and would find its own job then: one that was not there
// before, and is what was wanted, is taken for it.
func createJob(ctx context.Context, s *server, want, _ *jobModel) (*jobModel, error) {
	name := want.Name.ValueString()
	if _, err := s.GetJob(ctx, name); ci.CodeOf(err) != ci.CodeNotFound {
		return nil, firstOf(err, exists("job", name, name))
	}
	made, err := putJob(ctx, s, want, -1)
	if ci.CodeOf(err) != ci.CodeStale {
		return made, err
	}
	there, err := s.GetJob(ctx, name)
	if err != nil {
		return nil, err
	}
	if made = jobFrom(there, want); !made.means(want) {
		return nil, exists("job", name, name)
	}
	return made, nil
}

// means says whether two jobs are the same but for the spelling of their JSON, and their versions.
func (m *jobModel) means(other *jobModel) bool {
	a, b := m.job(), other.job()
	var x, y any
	_, _ = json.Unmarshal(a.Freestyle, &x), json.Unmarshal(b.Freestyle, &y) // no JSON is no freestyle job
	a.Freestyle, b.Freestyle = nil, nil
	return reflect.DeepEqual(a, b) && reflect.DeepEqual(x, y)
}

// putJob replaces a version of a job, or with -1 makes one that is not there.
func putJob(ctx context.Context, s *server, want *jobModel, ifVersion int64) (*jobModel, error) {
	j, _, err := s.PutJob(ctx, want.job(), ifVersion)
	if err != nil {
		return nil, err
	}
	return jobFrom(j, want), nil
}

// exists is the error of making what is there already.
func exists(kind, name, id string) error {
	return ci.Errorf(ci.CodeConflict, "there is a %s %s already, and it is not in the state. To keep it from here on: tofu import ADDRESS %s. What is declared replaces then what it is.", kind, name, id)
}

func (m *jobModel) job() *ci.Job {
	j := &ci.Job{
		Name: m.Name.ValueString(), Freestyle: []byte(m.Freestyle.ValueString()),
		Triggers: m.Triggers, Owner: m.Owner.ValueString(), Keep: m.Keep.keep(),
	}
	if g := m.Git; g != nil {
		j.Git = &ci.Git{URL: g.URL.ValueString(), ConfigPath: g.ConfigPath.ValueString(), SSHKey: g.SSHKey.ValueString()}
	}
	for _, p := range m.Parameters {
		j.Parameters = append(j.Parameters, ci.Parameter{
			Name: p.Name.ValueString(), Default: p.Default.ValueString(), Required: p.Required.ValueBool(), Description: p.Description.ValueString(),
		})
	}
	return j
}

// jobFrom writes what is kept as like does, where that means the same.
func jobFrom(j *ci.Job, like *jobModel) *jobModel {
	m := &jobModel{
		Name: types.StringValue(j.Name), Freestyle: jsontypes.NewNormalizedNull(), Parameters: []parameterModel{},
		Triggers: some(j.Triggers), Owner: types.StringValue(j.Owner), Keep: keepFrom(j.Keep, like.Keep), Version: types.Int64Value(j.Version),
	}
	if len(j.Freestyle) > 0 {
		m.Freestyle = jsontypes.NewNormalizedValue(string(j.Freestyle))
	}
	if g := j.Git; g != nil {
		m.Git = &gitModel{URL: types.StringValue(g.URL), ConfigPath: types.StringValue(g.ConfigPath), SSHKey: types.StringValue(g.SSHKey)}
	}
	for _, p := range j.Parameters {
		m.Parameters = append(m.Parameters, parameterModel{
			types.StringValue(p.Name), types.StringValue(p.Default), types.BoolValue(p.Required), types.StringValue(p.Description),
		})
	}
	return m
}

func jobSchema() schema.Schema {
	return schema.Schema{
		MarkdownDescription: "A job: what a run does, and which parameters it takes. Exactly one of `git` and `freestyle` is needed. Its runs outlive it.",
		Attributes: map[string]schema.Attribute{
			"name": nameAttribute("The job's name. Another name is another job."),
			"git": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "The repository and the job file that describe its runs.",
				Attributes: map[string]schema.Attribute{
					"url":         schema.StringAttribute{Required: true, MarkdownDescription: "`https://…`, `ssh://…`, or `user@host:path`."},
					"config_path": schema.StringAttribute{Required: true, MarkdownDescription: "The job file's path in the repository, for example `ci/test.yaml`."},
					"ssh_key":     textAttribute("The name of the key pair that the repository accepts (`ci_ssh_key`); empty for none."),
				},
			},
			"freestyle": schema.StringAttribute{
				Optional: true, CustomType: jsontypes.NormalizedType{},
				PlanModifiers:       []planmodifier.String{sameMeaning{jsontypes.NormalizedType{}}},
				MarkdownDescription: "The job file itself, as JSON: `jsonencode({ script = \"…\" })`, or `jsonencode(yamldecode(file(\"job.yaml\")))`.",
			},
			"parameters": schema.ListNestedAttribute{
				Optional: true, Computed: true, Default: noneOf(parameterTypes()),
				MarkdownDescription: "The inputs of a run, in the order people see them.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"name":        schema.StringAttribute{Required: true, MarkdownDescription: "Scripts find it in their environment under this name."},
					"default":     textAttribute("What it is when a trigger does not say."),
					"required":    flagAttribute("Whether each trigger has to say it."),
					"description": textAttribute("What it is, for people."),
				}},
			},
			"triggers": listAttribute("The jobs that its runs may trigger, when the job file says `ci: true`."),
			"owner":    textAttribute("Who keeps the job as code. `ci apply` touches no job of another owner."),
			"keep":     keepAttribute("What is kept of its done runs. A kind that it speaks of takes the place of the configuration's; a limit that is left out is none."),
			"version":  versionAttribute(),
		},
	}
}
