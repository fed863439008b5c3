package backend

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"net/http"

	"ci/backend/auth"
	"ci/backend/signin"
	"ci/backend/store"
)

// SignInConfig says who says who people are; nil is nobody.
type SignInConfig struct {
	OIDC   *signin.OIDC
	GitHub *signin.GitHub
}

// signIn opens the exchange of what providers say for tokens. It is part of the
// API: pages call it as anybody may.
func (b *Backend) signIn() (http.Handler, error) {
	// All cids have one key, so any of them ends what another one began.
	key, err := hkdf.Key(sha256.New, b.config.Key.Seed(), nil, "ci sign-in", 32)
	if err != nil {
		return nil, err
	}
	s, err := signin.New(signin.Config{
		Tokens: peoplesTokens{b.Auth, b.Store}, Key: key, URL: b.config.URL,
		OIDC: b.config.SignIn.OIDC, GitHub: b.config.SignIn.GitHub, Log: b.config.Log, Now: b.Store.Now,
	})
	if err != nil {
		return nil, err
	}
	return s.Handler(), nil
}

// peoplesTokens makes and ends the tokens of people who sign in.
type peoplesTokens struct {
	*auth.Authority
	store *store.Store
}

// Revoke ends a token, at this cid at once.
func (p peoplesTokens) Revoke(ctx context.Context, id string) error {
	if err := p.store.RevokeToken(ctx, id, p.store.Now()); err != nil {
		return err
	}
	p.Forget(id)
	return nil
}
