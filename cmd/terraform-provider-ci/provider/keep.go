package provider

import (
	"context"
	"reflect"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"ci/pkg/ci"
)

// keepModel is what is kept of done runs. A kind that is null is not spoken of;
// one without a limit is spoken of, and kept for ever.
type keepModel struct {
	Runs    *limitsModel `tfsdk:"runs"`
	Results *limitsModel `tfsdk:"results"`
	Console *limitsModel `tfsdk:"console"`
}

type limitsModel struct {
	Age   timetypes.GoDuration `tfsdk:"age"`
	Count types.Int64          `tfsdk:"count"`
	Bytes types.Int64          `tfsdk:"bytes"`
}

func (m *keepModel) keep() *ci.Keep {
	if m == nil {
		return nil
	}
	return &ci.Keep{Runs: m.Runs.limits(), Results: m.Results.limits(), Console: m.Console.limits()}
}

func (m *limitsModel) limits() *ci.Limits {
	if m == nil {
		return nil
	}
	l := &ci.Limits{Count: int(m.Count.ValueInt64()), Bytes: m.Bytes.ValueInt64()}
	if !m.Age.IsNull() {
		age, _ := m.Age.ValueGoDuration() // its type has seen that it is one
		l.Age = ci.Duration(age)
	}
	return l
}

// keepFrom is written as like is, where that means the same: 0 and null do, and so do 60m and 1h.
func keepFrom(k *ci.Keep, like *keepModel) *keepModel {
	if like != nil && reflect.DeepEqual(like.keep(), k) {
		return like
	}
	if k == nil {
		return nil
	}
	return &keepModel{Runs: limitsFrom(k.Runs), Results: limitsFrom(k.Results), Console: limitsFrom(k.Console)}
}

func limitsFrom(l *ci.Limits) *limitsModel {
	if l == nil {
		return nil
	}
	m := &limitsModel{Age: timetypes.NewGoDurationNull(), Count: types.Int64Null(), Bytes: types.Int64Null()}
	if l.Age != 0 {
		m.Age = timetypes.NewGoDurationValue(time.Duration(l.Age))
	}
	if l.Count != 0 {
		m.Count = types.Int64Value(int64(l.Count))
	}
	if l.Bytes != 0 {
		m.Bytes = types.Int64Value(l.Bytes)
	}
	return m
}

// keepOf reads the object of a configuration, in which it may be unknown; nil when nothing is said.
func keepOf(ctx context.Context, o types.Object) (*keepModel, error) {
	if o.IsNull() || o.IsUnknown() {
		return nil, nil
	}
	m := new(keepModel)
	if diags := o.As(ctx, m, basetypes.ObjectAsOptions{}); diags.HasError() {
		return nil, ci.Errorf(ci.CodeInvalid, "what is kept can't be read: %s", diags[0].Detail())
	}
	return m, nil
}

// keepObject is keepFrom for a configuration.
func keepObject(ctx context.Context, k *ci.Keep, like types.Object) types.Object {
	written, _ := keepOf(ctx, like) // what can't be read is written anew
	o, _ := types.ObjectValueFrom(ctx, keepTypes(), keepFrom(k, written))
	return o // the model and its types agree
}

func keepTypes() map[string]attr.Type {
	limits := types.ObjectType{AttrTypes: map[string]attr.Type{"age": timetypes.GoDurationType{}, "count": types.Int64Type, "bytes": types.Int64Type}}
	return map[string]attr.Type{"runs": limits, "results": limits, "console": limits}
}

// keepAttribute is what is kept, said by whoever text names.
func keepAttribute(text string) schema.SingleNestedAttribute {
	limits := func(what string) schema.SingleNestedAttribute {
		return schema.SingleNestedAttribute{
			Optional: true, MarkdownDescription: what,
			Attributes: map[string]schema.Attribute{
				"age": schema.StringAttribute{
					Optional: true, CustomType: timetypes.GoDurationType{}, MarkdownDescription: "How long after a run's end, for example `720h`.",
					PlanModifiers: []planmodifier.String{sameMeaning{timetypes.GoDurationType{}}},
				},
				"count": schema.Int64Attribute{Optional: true, MarkdownDescription: "Of how many runs: the newest."},
				"bytes": schema.Int64Attribute{Optional: true, MarkdownDescription: "How much in all: the newest that fit."},
			},
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true, MarkdownDescription: text,
		Attributes: map[string]schema.Attribute{
			"runs":    limits("Whole runs: the record with its results and its console."),
			"results": limits("The files that runs have saved."),
			"console": limits("What runs have printed."),
		},
	}
}
