package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/listplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/ci"
)

type configModel struct {
	ID             types.String         `tfsdk:"id"`
	GlobalTimeout  timetypes.GoDuration `tfsdk:"global_timeout"`
	AbortGrace     timetypes.GoDuration `tfsdk:"abort_grace"`
	Classes        types.List           `tfsdk:"classes"`
	MaxConsole     types.Int64          `tfsdk:"max_console"`
	MaxResult      types.Int64          `tfsdk:"max_result"`
	MaxResultFiles types.Int64          `tfsdk:"max_result_files"`
	Retention      timetypes.GoDuration `tfsdk:"retention"`
	AgentRetention timetypes.GoDuration `tfsdk:"agent_retention"`
	Keep           types.Object         `tfsdk:"keep"`
	KeepTotal      types.Object         `tfsdk:"keep_total"`
	Version        types.Int64          `tfsdk:"version"`
}

type classModel struct {
	Name   types.String  `tfsdk:"name"`
	CPUs   types.Float64 `tfsdk:"cpus"`
	Memory types.Int64   `tfsdk:"memory"`
}

// theConfig is the id of the only configuration that a server has.
const theConfig = "config"

func config() kind[configModel] {
	return kind[configModel]{
		name: "config", schema: configSchema(), fixed: theConfig,
		create: func(ctx context.Context, s *server, want, _ *configModel) (*configModel, error) {
			return putConfig(ctx, s, want, 0)
		},
		read: func(ctx context.Context, s *server, have *configModel) (*configModel, error) {
			c, err := s.GetConfig(ctx)
			if err != nil {
				return nil, err
			}
			return configFrom(ctx, c, have), nil
		},
		update: func(ctx context.Context, s *server, want, have, _ *configModel) (*configModel, error) {
			return putConfig(ctx, s, want, have.Version.ValueInt64())
		},
		kept: "A server always has a configuration. It stays as it is now, and is not kept from here any more.",
	}
}

// putConfig changes what is said, and nothing else of the configuration.
// version is the one that was planned against, 0 any.
func putConfig(ctx context.Context, s *server, want *configModel, version int64) (*configModel, error) {
	c, err := s.GetConfig(ctx)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		version = c.Version
	}
	if err := want.into(ctx, c); err != nil {
		return nil, err
	}
	stored, err := s.PutConfig(ctx, c, version)
	if err != nil {
		return nil, err
	}
	return configFrom(ctx, stored, want), nil
}

// into writes what is said into c.
func (m *configModel) into(ctx context.Context, c *ci.Config) error {
	for _, d := range []struct {
		said timetypes.GoDuration
		to   *ci.Duration
	}{{m.GlobalTimeout, &c.GlobalTimeout}, {m.AbortGrace, &c.AbortGrace}, {m.Retention, &c.Retention}, {m.AgentRetention, &c.AgentRetention}} {
		if v, diags := d.said.ValueGoDuration(); !diags.HasError() && !d.said.IsNull() && !d.said.IsUnknown() {
			*d.to = ci.Duration(v)
		}
	}
	for _, n := range []struct {
		said types.Int64
		to   *int64
	}{{m.MaxConsole, &c.MaxConsole}, {m.MaxResult, &c.MaxResult}} {
		if !n.said.IsNull() && !n.said.IsUnknown() {
			*n.to = n.said.ValueInt64()
		}
	}
	if n := m.MaxResultFiles; !n.IsNull() && !n.IsUnknown() {
		c.MaxResultFiles = int(n.ValueInt64())
	}
	for _, k := range []struct {
		said types.Object
		to   **ci.Keep
	}{{m.Keep, &c.Keep}, {m.KeepTotal, &c.KeepTotal}} {
		said, err := keepOf(ctx, k.said)
		if err != nil {
			return err
		}
		if said != nil {
			*k.to = said.keep()
		}
	}
	if m.Classes.IsNull() || m.Classes.IsUnknown() {
		return nil
	}
	var classes []classModel
	if diags := m.Classes.ElementsAs(ctx, &classes, false); diags.HasError() {
		return ci.Errorf(ci.CodeInvalid, "the classes can't be read: %s", diags[0].Detail())
	}
	c.Classes = nil
	for _, q := range classes {
		c.Classes = append(c.Classes, ci.Quota{Name: q.Name.ValueString(), CPUs: q.CPUs.ValueFloat64(), Memory: q.Memory.ValueInt64()})
	}
	return nil
}

// configFrom spells durations as like does, where they are the same.
func configFrom(ctx context.Context, c *ci.Config, like *configModel) *configModel {
	duration := func(d ci.Duration, like timetypes.GoDuration) timetypes.GoDuration {
		if v, diags := like.ValueGoDuration(); !diags.HasError() && v == time.Duration(d) {
			return like
		}
		return timetypes.NewGoDurationValue(time.Duration(d))
	}
	m := &configModel{
		ID:            types.StringValue(theConfig),
		GlobalTimeout: duration(c.GlobalTimeout, like.GlobalTimeout), AbortGrace: duration(c.AbortGrace, like.AbortGrace),
		Retention: duration(c.Retention, like.Retention), AgentRetention: duration(c.AgentRetention, like.AgentRetention),
		MaxConsole: types.Int64Value(c.MaxConsole), MaxResult: types.Int64Value(c.MaxResult), MaxResultFiles: types.Int64Value(int64(c.MaxResultFiles)),
		Keep: keepObject(ctx, c.Keep, like.Keep), KeepTotal: keepObject(ctx, c.KeepTotal, like.KeepTotal),
		Version: types.Int64Value(c.Version),
	}
	classes := []classModel{}
	for _, q := range c.Classes {
		classes = append(classes, classModel{types.StringValue(q.Name), types.Float64Value(q.CPUs), types.Int64Value(q.Memory)})
	}
	m.Classes, _ = types.ListValueFrom(ctx, classType(), classes) // the model and its type agree
	return m
}

func classType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{"name": types.StringType, "cpus": types.Float64Type, "memory": types.Int64Type}}
}

func configSchema() schema.Schema {
	duration := func(text string) schema.StringAttribute {
		return schema.StringAttribute{
			Optional: true, Computed: true, CustomType: timetypes.GoDurationType{}, MarkdownDescription: text,
			PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown(), sameMeaning{timetypes.GoDurationType{}}},
		}
	}
	size := func(text string) schema.Int64Attribute {
		return schema.Int64Attribute{
			Optional: true, Computed: true, MarkdownDescription: text,
			PlanModifiers: []planmodifier.Int64{int64planmodifier.UseStateForUnknown()},
		}
	}
	keep := func(text string) schema.SingleNestedAttribute {
		a := keepAttribute(text)
		a.Computed, a.PlanModifiers = true, []planmodifier.Object{objectplanmodifier.UseStateForUnknown()}
		return a
	}
	return schema.Schema{
		MarkdownDescription: "The configuration of the server, of which there is one. What is not said stays as it is on the server. Removed from here, it stays as it is.",
		Attributes: map[string]schema.Attribute{
			"id":             keptAttribute("Always `config`."),
			"global_timeout": duration("Caps every run, for example `1h`."),
			"abort_grace":    duration("The time between SIGTERM and SIGKILL."),
			"classes": schema.ListNestedAttribute{
				Optional: true, Computed: true, MarkdownDescription: "The quota classes, in ascending order.",
				PlanModifiers: []planmodifier.List{listplanmodifier.UseStateForUnknown()},
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"name":   schema.StringAttribute{Required: true, MarkdownDescription: "How people and metrics name it."},
					"cpus":   schema.Float64Attribute{Required: true, MarkdownDescription: "Cores; 0.5 is half of one."},
					"memory": schema.Int64Attribute{Required: true, MarkdownDescription: "Bytes."},
				}},
			},
			"max_console":      size("Bytes that a run may print."),
			"max_result":       size("Bytes of all results of a run."),
			"max_result_files": size("Files of all results of a run."),
			"retention":        duration("How long done runs are kept, whatever their jobs say; `0s` keeps them for ever."),
			"agent_retention":  duration("How long an agent that says nothing any more is listed; `0s` lists it for ever."),
			"keep":             keep("What each job keeps of its done runs, unless it says otherwise itself."),
			"keep_total":       keep("What all jobs together keep at the most, whatever they say. It has no age."),
			"version":          versionAttribute(),
		},
	}
}
