package provider

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/ci"
)

// lease is the ephemeral ci_token: it is made when a plan or an apply needs it,
// revoked at its end, and never in a state.
type lease struct{ server *server }

type leaseModel struct {
	Name     types.String         `tfsdk:"name"`
	Role     types.String         `tfsdk:"role"`
	Jobs     []string             `tfsdk:"jobs"`
	Lifetime timetypes.GoDuration `tfsdk:"lifetime"`
	ID       types.String         `tfsdk:"id"`
	Bearer   types.String         `tfsdk:"bearer"`
}

// leaseLifetime bounds a token that nobody could revoke: a plan can be killed.
const leaseLifetime = time.Hour

// leaseKey is where the private data has the token's id.
const leaseKey = "id"

func newLease() ephemeral.EphemeralResource { return &lease{} }

func (l *lease) Metadata(_ context.Context, req ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_token"
}

func (l *lease) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A bearer token for as long as a plan or an apply takes. It is revoked at the end, and is in no plan and no state.",
		Attributes: map[string]schema.Attribute{
			"name":     schema.StringAttribute{Required: true, MarkdownDescription: "What it is for. Logs and runs show it."},
			"role":     schema.StringAttribute{Required: true, MarkdownDescription: "`admin`, `maintain`, `trigger` or `read`."},
			"jobs":     schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "The jobs that it is limited to; none does not limit."},
			"lifetime": schema.StringAttribute{Optional: true, CustomType: timetypes.GoDurationType{}, MarkdownDescription: "How long it lasts if nobody comes to revoke it, for example `15m`. Default: `1h`."},
			"id":       schema.StringAttribute{Computed: true, MarkdownDescription: "How the server names it."},
			"bearer":   schema.StringAttribute{Computed: true, Sensitive: true, MarkdownDescription: "The token itself."},
		},
	}
}

func (l *lease) Configure(_ context.Context, req ephemeral.ConfigureRequest, _ *ephemeral.ConfigureResponse) {
	l.server, _ = req.ProviderData.(*server)
}

func (l *lease) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var m leaseModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	lifetime := leaseLifetime
	if !m.Lifetime.IsNull() {
		d, diags := m.Lifetime.ValueGoDuration()
		resp.Diagnostics.Append(diags...)
		lifetime = d
	}
	if resp.Diagnostics.HasError() {
		return
	}
	bearer, made, err := l.server.CreateToken(ctx, ci.Token{
		Name: m.Name.ValueString(), Role: ci.Role(m.Role.ValueString()), Jobs: m.Jobs, ExpiresAt: time.Now().Add(lifetime),
	})
	if err != nil {
		resp.Diagnostics.AddError("The token can't be made", err.Error())
		return
	}
	m.ID, m.Bearer = types.StringValue(made.ID), types.StringValue(bearer)
	id, _ := json.Marshal(made.ID) // a string always marshals
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, leaseKey, id)...)
	resp.Diagnostics.Append(resp.Result.Set(ctx, m)...)
}

func (l *lease) Close(ctx context.Context, req ephemeral.CloseRequest, resp *ephemeral.CloseResponse) {
	data, diags := req.Private.GetKey(ctx, leaseKey)
	resp.Diagnostics.Append(diags...)
	var id string
	if err := json.Unmarshal(data, &id); err != nil {
		resp.Diagnostics.AddError("The token can't be revoked", "It is not known any more which one it was: "+err.Error()+". It ends by itself.")
		return
	}
	if err := l.server.RevokeToken(ctx, id); err != nil && ci.CodeOf(err) != ci.CodeNotFound {
		resp.Diagnostics.AddError("The token can't be revoked", err.Error()+". It ends by itself; `ci token rm "+id+"` ends it now.")
	}
}
