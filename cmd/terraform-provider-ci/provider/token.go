package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/listplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/ci"
)

type tokenModel struct {
	ID        types.String `tfsdk:"id"`
	Name      types.String `tfsdk:"name"`
	Role      types.String `tfsdk:"role"`
	Jobs      []string     `tfsdk:"jobs"`
	Agent     types.String `tfsdk:"agent"`
	ExpiresAt types.String `tfsdk:"expires_at"`
	Bearer    types.String `tfsdk:"bearer"`
}

func token() kind[tokenModel] {
	return kind[tokenModel]{
		name: "token", schema: tokenSchema(), id: []string{"id"},
		check: func(given *tokenModel) error {
			t, err := given.token()
			if err != nil {
				return err
			}
			// One that has expired in the meantime is no fault of the configuration.
			return t.Validate(time.Time{})
		},
		create: func(ctx context.Context, s *server, want, _ *tokenModel) (*tokenModel, error) {
			t, err := want.token()
			if err != nil {
				return nil, err
			}
			bearer, made, err := s.CreateToken(ctx, t)
			if err != nil {
				return nil, err
			}
			want.ID, want.Bearer = types.StringValue(made.ID), types.StringValue(bearer)
			return want, nil
		},
		read: readToken,
		remove: func(ctx context.Context, s *server, have *tokenModel) error {
			return s.RevokeToken(ctx, have.ID.ValueString())
		},
	}
}

// readToken takes a token that is revoked for one that is gone.
func readToken(ctx context.Context, s *server, have *tokenModel) (*tokenModel, error) {
	t, err := s.GetToken(ctx, have.ID.ValueString())
	if err != nil {
		return nil, err
	}
	if !t.RevokedAt.IsZero() {
		return nil, ci.Errorf(ci.CodeNotFound, "the token %s was revoked", t.ID)
	}
	return tokenFrom(&t, have), nil
}

func (m *tokenModel) token() (ci.Token, error) {
	t := ci.Token{Name: m.Name.ValueString(), Role: ci.Role(m.Role.ValueString()), Jobs: m.Jobs, Agent: m.Agent.ValueString()}
	if m.ExpiresAt.ValueString() == "" {
		return t, nil
	}
	var err error
	if t.ExpiresAt, err = time.Parse(time.RFC3339, m.ExpiresAt.ValueString()); err != nil {
		return t, &ci.Error{Code: ci.CodeInvalid, Message: "the token is not valid", Fields: []ci.Field{
			{Path: "expiresAt", Message: m.ExpiresAt.String() + " is not a time like 2027-01-31T00:00:00Z"},
		}}
	}
	return t, nil
}

// tokenFrom keeps the bearer, which is told once, and the spelling of a time that is the same.
func tokenFrom(t *ci.Token, have *tokenModel) *tokenModel {
	m := &tokenModel{
		ID: types.StringValue(t.ID), Name: types.StringValue(t.Name), Role: types.StringValue(string(t.Role)), Jobs: some(t.Jobs),
		Agent: types.StringValue(t.Agent), ExpiresAt: types.StringValue(""), Bearer: have.Bearer,
	}
	if !t.ExpiresAt.IsZero() {
		m.ExpiresAt = types.StringValue(t.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if old, err := have.token(); err == nil && !t.ExpiresAt.IsZero() && old.ExpiresAt.Truncate(time.Second).Equal(t.ExpiresAt.Truncate(time.Second)) {
		m.ExpiresAt = have.ExpiresAt
	}
	return m
}

func tokenSchema() schema.Schema {
	anew := []planmodifier.String{stringplanmodifier.RequiresReplace()}
	agent, expires := textAttribute("The one agent that a token of role `agent` speaks for."), textAttribute("When it ends, for example `2027-01-31T00:00:00Z`; empty for never.")
	agent.PlanModifiers, expires.PlanModifiers = anew, anew
	jobs := listAttribute("The jobs that it is limited to; none does not limit.")
	jobs.PlanModifiers = []planmodifier.List{listplanmodifier.RequiresReplace()}
	bearer := keptAttribute("The token itself. It is in the state, marked as sensitive, since the server tells it this once: where that is too much, use the ephemeral resource `ci_token`. Empty after an import.")
	bearer.Sensitive = true
	return schema.Schema{
		MarkdownDescription: "A bearer token that lasts. Every change makes a new one. A token that somebody has revoked is made anew.",
		Attributes: map[string]schema.Attribute{
			"id":         keptAttribute("How the server names it, in `ci token ls` too."),
			"name":       nameAttribute("What it is for. Logs and runs show it."),
			"role":       schema.StringAttribute{Required: true, PlanModifiers: anew, MarkdownDescription: "`admin`, `maintain`, `trigger`, `read` or `agent`."},
			"jobs":       jobs,
			"agent":      agent,
			"expires_at": expires,
			"bearer":     bearer,
		},
	}
}
