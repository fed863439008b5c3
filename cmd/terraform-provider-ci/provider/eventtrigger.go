package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/ci"
)

type eventTriggerModel struct {
	Name         types.String      `tfsdk:"name"`
	Job          types.String      `tfsdk:"job"`
	Forge        types.String      `tfsdk:"forge"`
	Repository   types.String      `tfsdk:"repository"`
	RepositoryID types.Int64       `tfsdk:"repository_id"`
	Events       []string          `tfsdk:"events"`
	Branches     []string          `tfsdk:"branches"`
	Tags         []string          `tfsdk:"tags"`
	Paths        []string          `tfsdk:"paths"`
	Parameters   map[string]string `tfsdk:"parameters"`
	Priority     types.String      `tfsdk:"priority"`
	Forks        types.String      `tfsdk:"forks"`
	Supersede    types.Bool        `tfsdk:"supersede"`
	Version      types.Int64       `tfsdk:"version"`
}

func eventTrigger() kind[eventTriggerModel] {
	return kind[eventTriggerModel]{
		name: "event_trigger", schema: eventTriggerSchema(), id: []string{"name"},
		check: func(given *eventTriggerModel) error {
			t := given.trigger()
			t.Defaults()
			return t.Validate()
		},
		create: func(ctx context.Context, s *server, want, _ *eventTriggerModel) (*eventTriggerModel, error) {
			name := want.Name.ValueString()
			if _, err := s.GetEventTrigger(ctx, name); ci.CodeOf(err) != ci.CodeNotFound {
				return nil, firstOf(err, exists("event trigger", name, name))
			}
			return putEventTrigger(ctx, s, want.trigger(), 0)
		},
		read: func(ctx context.Context, s *server, have *eventTriggerModel) (*eventTriggerModel, error) {
			t, err := s.GetEventTrigger(ctx, have.Name.ValueString())
			if err != nil {
				return nil, err
			}
			return eventTriggerFrom(t), nil
		},
		update: func(ctx context.Context, s *server, want, have, _ *eventTriggerModel) (*eventTriggerModel, error) {
			t := want.trigger()
			if want.Repository.Equal(have.Repository) && want.Forge.Equal(have.Forge) {
				t.RepositoryID = have.RepositoryID.ValueInt64() // it stays the same repository, even if it was renamed
			}
			return putEventTrigger(ctx, s, t, have.Version.ValueInt64())
		},
		remove: func(ctx context.Context, s *server, have *eventTriggerModel) error {
			return s.DeleteEventTrigger(ctx, have.Name.ValueString())
		},
	}
}

func putEventTrigger(ctx context.Context, s *server, t ci.EventTrigger, ifVersion int64) (*eventTriggerModel, error) {
	stored, _, err := s.PutEventTrigger(ctx, t, ifVersion)
	if err != nil {
		return nil, err
	}
	return eventTriggerFrom(stored), nil
}

func (m *eventTriggerModel) trigger() ci.EventTrigger {
	return ci.EventTrigger{
		Name: m.Name.ValueString(), Job: m.Job.ValueString(), Forge: m.Forge.ValueString(), Repository: m.Repository.ValueString(),
		Events: texts[ci.EventKind](m.Events), Branches: m.Branches, Tags: m.Tags, Paths: m.Paths, Parameters: m.Parameters,
		Priority: ci.Priority(m.Priority.ValueString()), Forks: ci.ForkPolicy(m.Forks.ValueString()), Supersede: m.Supersede.ValueBool(),
	}
}

func eventTriggerFrom(t ci.EventTrigger) *eventTriggerModel {
	m := &eventTriggerModel{
		Name: types.StringValue(t.Name), Job: types.StringValue(t.Job), Forge: types.StringValue(t.Forge),
		Repository: types.StringValue(t.Repository), RepositoryID: types.Int64Value(t.RepositoryID),
		Events: some(texts[string](t.Events)), Branches: some(t.Branches), Tags: some(t.Tags), Paths: some(t.Paths), Parameters: t.Parameters,
		Priority: types.StringValue(string(t.Priority)), Forks: types.StringValue(string(t.Forks)), Supersede: types.BoolValue(t.Supersede),
		Version: types.Int64Value(t.Version),
	}
	if m.Parameters == nil {
		m.Parameters = map[string]string{}
	}
	return m
}

// texts converts between words of pkg/ci and plain strings.
func texts[To, From ~string](list []From) []To {
	var out []To
	for _, s := range list {
		out = append(out, To(s))
	}
	return out
}

func eventTriggerSchema() schema.Schema {
	var events []attr.Value
	for _, kind := range ci.DefaultEvents {
		events = append(events, types.StringValue(string(kind)))
	}
	preset := func(text, value string) schema.StringAttribute {
		a := textAttribute(text)
		a.Default = stringdefault.StaticString(value)
		return a
	}
	return schema.Schema{
		MarkdownDescription: "What starts a job's runs at events of a repository. Its name is that of the check beside the commit, too.",
		Attributes: map[string]schema.Attribute{
			"name":          nameAttribute("The trigger's name, and the check's."),
			"job":           schema.StringAttribute{Required: true, MarkdownDescription: "The job whose runs it starts."},
			"forge":         preset("The name of the forge. Default: `github`.", string(ci.ForgeGitHub)),
			"repository":    schema.StringAttribute{Required: true, MarkdownDescription: "`owner/name`."},
			"repository_id": schema.Int64Attribute{Computed: true, MarkdownDescription: "The number that the forge knows the repository by, once an event has told it; then it alone counts."},
			"events":        listAttribute("Kinds of events: `push`, `pull_request`, `tag`, `release`, `check_rerun`, `comment`. Default: all but `tag` and `release`.", events...),
			"branches":      listAttribute("Globs; `!` excludes. None accepts all. For a pull request it is its base."),
			"tags":          listAttribute("Globs of tags."),
			"paths":         listAttribute("Globs of changed files."),
			"parameters": schema.MapAttribute{
				Optional: true, Computed: true, ElementType: types.StringType, Default: mapdefault.StaticValue(types.MapValueMust(types.StringType, nil)),
				MarkdownDescription: "Parameters of the runs. A value may hold `${event}`, `${sha}`, `${branch}` and more, which HCL wants written as `$${sha}`.",
			},
			"priority":  preset("`normal` or `urgent`.", string(ci.PriorityNormal)),
			"forks":     preset("What becomes of pull requests from forks: `base` (they run, by the job file of the base branch), `approval` or `never`.", string(ci.ForksBase)),
			"supersede": flagAttribute("Whether a newer commit aborts older runs of the same branch or pull request."),
			"version":   versionAttribute(),
		},
	}
}
