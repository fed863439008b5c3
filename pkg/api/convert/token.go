package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToToken converts what is recorded of a token.
func ToToken(t *ci.Token) *civ1.Token {
	return &civ1.Token{
		Id:        t.ID,
		Name:      t.Name,
		Role:      string(t.Role),
		Jobs:      t.Jobs,
		Agent:     t.Agent,
		CreatedAt: ToTime(t.CreatedAt),
		ExpiresAt: ToTime(t.ExpiresAt),
		RevokedAt: ToTime(t.RevokedAt),
	}
}

// FromToken is ToToken's inverse.
func FromToken(m *civ1.Token) ci.Token {
	return ci.Token{
		ID:        m.GetId(),
		Name:      m.GetName(),
		Role:      ci.Role(m.GetRole()),
		Jobs:      m.GetJobs(),
		Agent:     m.GetAgent(),
		CreatedAt: FromTime(m.GetCreatedAt()),
		ExpiresAt: FromTime(m.GetExpiresAt()),
		RevokedAt: FromTime(m.GetRevokedAt()),
	}
}

// ToCaller converts whom a token stands for.
func ToCaller(c *ci.Caller) *civ1.Caller {
	return &civ1.Caller{
		TokenId: c.TokenID, Name: c.Name, Role: string(c.Role), Jobs: c.Jobs, Agent: c.Agent,
		ExpiresAt: ToTime(c.ExpiresAt), Run: toRunRef(c.Run), Triggers: c.Triggers,
	}
}

// FromCaller is ToCaller's inverse.
func FromCaller(m *civ1.Caller) *ci.Caller {
	return &ci.Caller{
		TokenID: m.GetTokenId(), Name: m.GetName(), Role: ci.Role(m.GetRole()), Jobs: m.GetJobs(), Agent: m.GetAgent(),
		ExpiresAt: FromTime(m.GetExpiresAt()), Run: fromRunRef(m.GetRun()), Triggers: m.GetTriggers(),
	}
}

// ToNewToken takes what people choose about a token.
func ToNewToken(t *ci.Token) *civ1.NewToken {
	return &civ1.NewToken{Name: t.Name, Role: string(t.Role), Jobs: t.Jobs, Agent: t.Agent, ExpiresAt: ToTime(t.ExpiresAt)}
}

// FromNewToken is ToNewToken's inverse.
func FromNewToken(m *civ1.NewToken) ci.Token {
	return ci.Token{Name: m.GetName(), Role: ci.Role(m.GetRole()), Jobs: m.GetJobs(), Agent: m.GetAgent(), ExpiresAt: FromTime(m.GetExpiresAt())}
}
