package backend

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"time"

	"ci/backend/auth"
	"ci/backend/store"
	"ci/pkg/ci"
)

// firstAdmin is the name of the first token of cids that share a database. It
// is one for all: tokens' names are unique, whichever of them is first.
const firstAdmin = "first-admin"

// FirstAdmin makes a token of role admin and returns its bearer. Where cids
// share a database that happens once, for the first of them; "" says that there
// is one already, or that there was: whoever revoked it did so on purpose.
func (b *Backend) FirstAdmin(ctx context.Context) (bearer string, err error) {
	if !b.Store.Shared() {
		return mintAdmin(ctx, b.Auth, ci.Token{}, b.Store.Now())
	}
	if there, err := b.Store.AnyToken(ctx, ci.RoleAdmin); there || err != nil {
		return "", err
	}
	bearer, err = mintAdmin(ctx, b.Auth, ci.Token{Name: firstAdmin}, b.Store.Now())
	if ci.CodeOf(err) == ci.CodeConflict {
		return "", nil // another one was a moment earlier
	}
	return bearer, err
}

// MakeToken records a token of role admin in a database and returns its
// bearer. It ends after life; 0 never.
func MakeToken(ctx context.Context, database string, key ed25519.PrivateKey, t ci.Token, life time.Duration, log *slog.Logger) (bearer string, err error) {
	db, err := store.Open(ctx, database, log)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	a, err := auth.New(db, key, db.Now)
	if err != nil {
		return "", err
	}
	if life > 0 {
		t.ExpiresAt = db.Now().Add(life)
	}
	return mintAdmin(ctx, a, t, db.Now())
}

func mintAdmin(ctx context.Context, a *auth.Authority, t ci.Token, now time.Time) (string, error) {
	t.Role, t.Name = ci.RoleAdmin, cmp.Or(t.Name, "admin-"+now.UTC().Format("20060102-150405.000")+"-"+strings.ToLower(rand.Text()[:4]))
	bearer, _, err := a.Mint(ctx, t)
	return bearer, err
}
