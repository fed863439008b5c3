// Package auth says who calls (bearer tokens) and what they may do (roles). A
// token is three base64url parts, abc.def.ghi, signed with Ed25519. The
// signature proves that we made it; the database row, looked up by the token's
// id, decides whether it still opens anything and what. The token of a run's
// script, run.ID.SECRET, is compared with the hash that lies with its run.
package auth

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/google/uuid"

	"ci/pkg/ci"
)

// TokenStore keeps what is recorded of tokens. The bearer itself is kept nowhere.
type TokenStore interface {
	// GetToken returns ci.CodeNotFound for an id that it does not have.
	GetToken(ctx context.Context, id string) (*ci.Token, error)
	// PutToken inserts a token. A living one of the same name is ci.CodeConflict.
	PutToken(ctx context.Context, t *ci.Token) error
	// RunToken returns the token of a run in progress, else ci.CodeNotFound.
	RunToken(ctx context.Context, run int64) (*ci.RunToken, error)
}

// Authority mints and verifies tokens. It is safe for many callers at once.
type Authority struct {
	tokens TokenStore
	signer signer
	now    func() time.Time
	cache  *cache
}

// New returns an Authority that signs with key, and accepts what key or one of the
// old keys has signed. All cids of a system share the keys.
func New(tokens TokenStore, key ed25519.PrivateKey, now func() time.Time, old ...ed25519.PublicKey) (*Authority, error) {
	if tokens == nil || now == nil || len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("auth.New needs a token store, an Ed25519 private key and a clock")
	}
	return &Authority{tokens: tokens, signer: newSigner(key, old), now: now, cache: newCache()}, nil
}

// Mint records t under a new id and returns its bearer, which nobody can make
// again. A token of role agent that names no agent is for the one of its own
// name. Mint does not check who asks: that is May's part.
func (a *Authority) Mint(ctx context.Context, t ci.Token) (string, ci.Token, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", ci.Token{}, ci.Errorf(ci.CodeInternal, "no randomness for a token's id: %w", err)
	}
	return a.MintOnce(ctx, id, t)
}

// MintOnce is Mint under an id that is made of what may give one token only: the
// second time is ci.CodeConflict, at every cid, and also when the first token was revoked.
func (a *Authority) MintOnce(ctx context.Context, id uuid.UUID, t ci.Token) (string, ci.Token, error) {
	now := a.now()
	if t.Role == ci.RoleAgent {
		t.Agent = cmp.Or(t.Agent, t.Name)
	}
	if err := t.Validate(now); err != nil {
		return "", ci.Token{}, err
	}
	t.ID, t.CreatedAt, t.RevokedAt = id.String(), now.UTC().Truncate(time.Microsecond), time.Time{}
	bearer, err := a.signer.sign(claimsOf(&t))
	if err != nil {
		return "", ci.Token{}, ci.Errorf(ci.CodeInternal, "the token could not be signed: %w", err)
	}
	if err := a.tokens.PutToken(ctx, &t); err != nil {
		return "", ci.Token{}, err
	}
	return bearer, t, nil
}

// Verify returns whom bearer stands for. A token that was revoked, has
// expired, or is gone from the database is refused at the latest trust after that.
func (a *Authority) Verify(ctx context.Context, bearer string) (Principal, error) {
	now := a.now()
	if run, hash, ok := ci.ParseRunToken(bearer); ok {
		return a.verifyRun(ctx, run, hash, now)
	}
	c, err := a.claims(bearer)
	if err != nil {
		return Principal{}, err
	}
	if err := c.check(now); err != nil {
		return Principal{}, err
	}
	t, err := a.living(ctx, c.ID, now)
	if err != nil {
		return Principal{}, err
	}
	if t.Role != c.Role {
		return Principal{}, refused("is not what was recorded of it")
	}
	p := Principal{TokenID: t.ID, Name: t.Name, Role: t.Role, Jobs: t.Jobs, ExpiresAt: t.ExpiresAt}
	if t.Role == ci.RoleAgent {
		p.Agent = cmp.Or(t.Agent, t.Name)
	}
	return p, nil
}

// Living returns nil while the token of that id opens something. Who has held
// an answer for long asks again before it gives something away.
func (a *Authority) Living(ctx context.Context, id string) error {
	_, err := a.living(ctx, id, a.now())
	return err
}

func (a *Authority) living(ctx context.Context, id string, now time.Time) (*ci.Token, error) {
	t, err := a.cache.row(ctx, id, now, a.tokens.GetToken)
	switch {
	case ci.CodeOf(err) == ci.CodeNotFound:
		return nil, refused("is not known here")
	case err != nil:
		return nil, err
	case !t.RevokedAt.IsZero():
		return nil, refused("was revoked")
	case !t.ExpiresAt.IsZero() && now.After(t.ExpiresAt.Add(leeway)):
		return nil, refused("has expired")
	}
	return t, nil
}

// Forget makes the next Verify of a token look at the database at once.
func (a *Authority) Forget(id string) { a.cache.forget(id) }

func (a *Authority) claims(bearer string) (claims, error) {
	if c, ok := a.cache.claims(bearer); ok {
		return c, nil
	}
	c, err := a.signer.open(bearer)
	if err == nil {
		a.cache.keep(bearer, c)
	}
	return c, err
}

func refused(why string) error {
	return ci.Errorf(ci.CodeUnauthorized, "the token %s; an administrator makes new ones with POST /tokens", why)
}
