package provider_test

import (
	"maps"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/stretchr/testify/require"
)

// thing is one resource of a configuration, and its state.
type thing struct {
	*core
	kind    string
	typ     tftypes.Type
	schema  *tfprotov6.Schema
	state   tftypes.Value
	private []byte
}

func (c *core) resource(kind string) *thing {
	c.t.Helper()
	s := c.schemas.ResourceSchemas[kind]
	require.NotNil(c.t, s, "there is no %s", kind)
	return &thing{core: c, kind: kind, schema: s, typ: s.ValueType(), state: tftypes.NewValue(s.ValueType(), nil)}
}

// with returns a configuration with some attributes said otherwise.
func with(config map[string]any, change map[string]any) map[string]any {
	config = maps.Clone(config)
	maps.Copy(config, change)
	return config
}

// validate returns what is wrong with a configuration before it is planned.
func (r *thing) validate(config map[string]any) []string {
	r.t.Helper()
	resp, err := r.server.ValidateResourceConfig(r.t.Context(), &tfprotov6.ValidateResourceConfigRequest{
		TypeName: r.kind, Config: wire(r.t, valueOf(r.t, r.typ, config)),
		ClientCapabilities: &tfprotov6.ValidateResourceConfigClientCapabilities{WriteOnlyAttributesAllowed: true},
	})
	require.NoError(r.t, err)
	return said(resp.Diagnostics)
}

// planned is what a plan says.
type planned struct {
	state   tftypes.Value
	private []byte
	replace bool
	empty   bool
}

func (r *thing) plan(config map[string]any) planned {
	r.t.Helper()
	require.Empty(r.t, r.validate(config))
	given := valueOf(r.t, r.typ, config)
	resp, err := r.server.PlanResourceChange(r.t.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: r.kind, PriorState: wire(r.t, r.state), Config: wire(r.t, given),
		ProposedNewState: wire(r.t, r.proposed(given)), PriorPrivate: r.private,
	})
	require.NoError(r.t, err)
	require.Empty(r.t, said(resp.Diagnostics))
	state, err := resp.PlannedState.Unmarshal(r.typ)
	require.NoError(r.t, err)
	return planned{state, resp.PlannedPrivate, len(resp.RequiresReplace) > 0 && !r.state.IsNull(), state.Equal(r.state)}
}

// proposed is the configuration with what the state knows of computed
// attributes that it does not give. What is write-only is left out.
func (r *thing) proposed(given tftypes.Value) tftypes.Value {
	fields := fieldsOf(r.t, given)
	for _, a := range r.schema.Block.Attributes {
		switch {
		case a.WriteOnly:
			fields[a.Name] = tftypes.NewValue(a.ValueType(), nil)
		case a.Computed && fields[a.Name].IsNull() && !r.state.IsNull():
			fields[a.Name] = fieldsOf(r.t, r.state)[a.Name]
		}
	}
	return tftypes.NewValue(r.typ, fields)
}

// try plans and applies, and returns what the provider says against it.
func (r *thing) try(config map[string]any) []string {
	r.t.Helper()
	p := r.plan(config)
	if p.empty {
		return nil // OpenTofu does nothing then
	}
	if p.replace {
		if said := r.destroy(); said != nil {
			return said
		}
		p = r.plan(config)
	}
	said := r.carryOut(valueOf(r.t, r.typ, config), p)
	if said == nil {
		r.kept(p.state)
	}
	return said
}

func (r *thing) carryOut(given tftypes.Value, p planned) []string {
	r.t.Helper()
	resp, err := r.server.ApplyResourceChange(r.t.Context(), &tfprotov6.ApplyResourceChangeRequest{
		TypeName: r.kind, PriorState: wire(r.t, r.state), PlannedState: wire(r.t, p.state), Config: wire(r.t, given), PlannedPrivate: p.private,
	})
	require.NoError(r.t, err)
	r.state, err = resp.NewState.Unmarshal(r.typ)
	require.NoError(r.t, err)
	r.private = resp.Private
	return said(resp.Diagnostics)
}

// kept checks that what the plan has shown came true, as OpenTofu does.
func (r *thing) kept(plan tftypes.Value) {
	r.t.Helper()
	now := fieldsOf(r.t, r.state)
	for name, v := range fieldsOf(r.t, plan) {
		require.True(r.t, now[name].IsFullyKnown(), "%s is still unknown", name)
		if v.IsFullyKnown() {
			require.Equal(r.t, plain(r.t, v), plain(r.t, now[name]), "%s is not as it was planned", name)
		}
	}
}

// apply applies; a plan after it must be empty.
func (r *thing) apply(config map[string]any) map[string]any {
	r.t.Helper()
	require.Empty(r.t, r.try(config))
	require.True(r.t, r.refresh(), "it is gone")
	p := r.plan(config)
	require.True(r.t, p.empty, "the plan after an apply wants %v, and there is %v", plain(r.t, p.state), r.has())
	return r.has()
}

// refresh reads what there is, and says whether there is something.
func (r *thing) refresh() bool {
	r.t.Helper()
	resp, err := r.server.ReadResource(r.t.Context(), &tfprotov6.ReadResourceRequest{TypeName: r.kind, CurrentState: wire(r.t, r.state), Private: r.private})
	require.NoError(r.t, err)
	require.Empty(r.t, said(resp.Diagnostics))
	r.state, err = resp.NewState.Unmarshal(r.typ)
	require.NoError(r.t, err)
	r.private = resp.Private
	return !r.state.IsNull()
}

// destroy returns what the provider says of it.
func (r *thing) destroy() []string {
	r.t.Helper()
	return r.carryOut(tftypes.NewValue(r.typ, nil), planned{state: tftypes.NewValue(r.typ, nil), private: r.private})
}

// imported is the resource as an import has it; what is said against it otherwise.
func (c *core) imported(kind, id string) (*thing, []string) {
	c.t.Helper()
	r := c.resource(kind)
	resp, err := c.server.ImportResourceState(c.t.Context(), &tfprotov6.ImportResourceStateRequest{TypeName: kind, ID: id})
	require.NoError(c.t, err)
	if len(resp.Diagnostics) > 0 {
		return nil, said(resp.Diagnostics)
	}
	require.Len(c.t, resp.ImportedResources, 1)
	r.state, err = resp.ImportedResources[0].State.Unmarshal(r.typ)
	require.NoError(c.t, err)
	r.private = resp.ImportedResources[0].Private
	return r, nil
}

// has is the state as a test compares it.
func (r *thing) has() map[string]any {
	r.t.Helper()
	m, _ := plain(r.t, r.state).(map[string]any)
	return m
}
