package web

import (
	"fmt"
	"strings"
	"time"

	"ci/pkg/ci"
)

type tokensPage struct {
	Tokens []ci.Token
	Roles  []ci.Role
	Now    time.Time
	// Bearer is a new token, shown this once.
	Bearer string
	New    ci.Token
}

// Lives says whether a token still opens something.
func (p tokensPage) Lives(t ci.Token) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || t.ExpiresAt.After(p.Now))
}

func (v *visit) tokens() error { return v.showTokens(tokensPage{}) }

func (v *visit) showTokens(p tokensPage) (err error) {
	p.Roles, p.Now = ci.Roles, v.Now()
	if p.Tokens, err = first(1000, v.api.ListTokens(v.r.Context())); err != nil {
		return err
	}
	return v.show("tokens", frame{Title: "Tokens", Tab: "tokens", Page: p})
}

// createToken shows the new token in its answer: it is at no address where it could be read again.
func (v *visit) createToken() (string, error) {
	t := ci.Token{Name: strings.TrimSpace(v.r.PostFormValue("name")), Role: ci.Role(v.r.PostFormValue("role"))}
	t.Jobs = strings.FieldsFunc(v.r.PostFormValue("jobs"), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' })
	life, err := lifeOf(v.r.PostFormValue("days"))
	if err != nil {
		return "", err
	}
	if life > 0 {
		t.ExpiresAt = v.Now().Add(life)
	}
	bearer, recorded, err := v.api.CreateToken(v.r.Context(), t)
	if err != nil {
		return "", err
	}
	return "", v.showTokens(tokensPage{Bearer: bearer, New: recorded})
}

// maxDays is how long a token may be asked to live.
const maxDays = 36_500

// lifeOf reads how long a token lives; 0 for one that never ends. A slip must
// not make such a one.
func lifeOf(days string) (time.Duration, error) {
	days = strings.TrimSpace(days)
	if days == "" {
		return 0, nil
	}
	n, err := parseInt(days)
	if err != nil || n < 1 || n > maxDays {
		return 0, &ci.Error{Code: ci.CodeInvalid, Message: "the token was not made", Fields: []ci.Field{{
			Path: "days", Message: fmt.Sprintf("%.50q is not a number of days from 1 to %d; leave it empty for a token that never ends", days, maxDays),
		}}}
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

func (v *visit) revokeToken() (string, error) {
	return root + "/tokens?done=revoked", v.api.RevokeToken(v.r.Context(), v.r.PathValue("token"))
}
