package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// sameMeaning keeps the state's text where the configuration's means the same:
// after an import the state has the server's spelling, and not people's.
type sameMeaning struct {
	typ basetypes.StringTypable // tells what means the same
}

func (sameMeaning) Description(context.Context) string {
	return "Text that means the same is no change."
}

func (m sameMeaning) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

func (m sameMeaning) PlanModifyString(ctx context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	if req.StateValue.IsNull() || req.PlanValue.IsNull() || req.PlanValue.IsUnknown() {
		return
	}
	old, diags := m.typ.ValueFromString(ctx, req.StateValue)
	resp.Diagnostics.Append(diags...)
	now, diags := m.typ.ValueFromString(ctx, req.PlanValue)
	resp.Diagnostics.Append(diags...)
	compare, ok := old.(basetypes.StringValuableWithSemanticEquals)
	if !ok || resp.Diagnostics.HasError() {
		return
	}
	same, diags := compare.StringSemanticEquals(ctx, now)
	resp.Diagnostics.Append(diags...)
	if same {
		resp.PlanValue = req.StateValue
	}
}

// ModifyPlan makes a plan empty that differs from the state in nothing but what
// would be known after the apply. The framework has marked that before
// sameMeaning has found that there is no difference.
func (m *managed[M]) ModifyPlan(_ context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.State.Raw.IsNull() || req.Plan.Raw.IsNull() {
		return
	}
	var now, plan, given map[string]tftypes.Value
	if req.State.Raw.As(&now) != nil || req.Plan.Raw.As(&plan) != nil || req.Config.Raw.As(&given) != nil {
		return // all are objects; the framework has read them as such
	}
	for name, v := range plan {
		if given[name].IsFullyKnown() && !v.IsKnown() {
			continue // ours to say
		}
		if !v.Equal(now[name]) {
			return
		}
	}
	resp.Plan.Raw = req.State.Raw
}
