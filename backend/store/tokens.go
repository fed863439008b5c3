package store

import (
	"context"
	"time"

	"ci/pkg/ci"
)

const tokenFields = "id, name, role, jobs, agent, created_at, expires_at, revoked_at"

func tokenPlaces(t *ci.Token) []any {
	return []any{&t.ID, &t.Name, (*string)(&t.Role), document{&t.Jobs}, &t.Agent, stamp{&t.CreatedAt}, stamp{&t.ExpiresAt}, stamp{&t.RevokedAt}}
}

// PutToken records a new token. When a living one has its name, the error is
// ci.CodeConflict. One that has expired counts as revoked at that moment, and
// leaves its name.
func (tx *Tx) PutToken(ctx context.Context, t *ci.Token) error {
	_, err := tx.s.exec(ctx, "UPDATE tokens SET revoked_at = expires_at WHERE name = ? AND revoked_at IS NULL AND expires_at <= ?", t.Name, micros(t.CreatedAt))
	if err != nil {
		return err
	}
	n, err := tx.s.exec(ctx, insertText("tokens", tokenFields, 8)+" ON CONFLICT DO NOTHING", values(tokenPlaces(t))...)
	if err == nil && n == 0 {
		return ci.Errorf(ci.CodeConflict, "there is a token %q already; revoke it first, or use another name", t.Name)
	}
	return err
}

// GetToken returns the token, whether it is valid or not, or ci.CodeNotFound.
func (r reader) GetToken(ctx context.Context, id string) (*ci.Token, error) {
	t, err := one(ctx, r.s, tokenPlaces, "SELECT "+tokenFields+" FROM tokens WHERE id = ?", id)
	if err == nil && t == nil {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no token with id %q", id)
	}
	return t, err
}

// ListTokens returns up to limit tokens in the order of their ids, beginning
// behind after.
func (r reader) ListTokens(ctx context.Context, after string, limit int) ([]ci.Token, error) {
	return many(ctx, r.s, tokenPlaces, "SELECT "+tokenFields+" FROM tokens WHERE id > ? ORDER BY id LIMIT ?", after, limit)
}

// AnyToken says whether there ever was a token of a role, valid or not.
func (r reader) AnyToken(ctx context.Context, role ci.Role) (bool, error) {
	t, err := one(ctx, r.s, tokenPlaces, "SELECT "+tokenFields+" FROM tokens WHERE role = ? LIMIT 1", string(role))
	return t != nil, err
}

// RevokeToken ends a token's life; one that has ended keeps its first end.
func (tx *Tx) RevokeToken(ctx context.Context, id string, at time.Time) error {
	n, err := tx.s.exec(ctx, "UPDATE tokens SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ?", micros(at), id)
	if err == nil && n == 0 {
		return ci.Errorf(ci.CodeNotFound, "there is no token with id %q", id)
	}
	return err
}

// briefToken is the longest life that a token may be made for, and be forgotten after it:
// those of sign-ins and of single programs, of which there are ever more. A longer
// one was made by somebody on purpose, and stays in the list.
const briefToken = 24 * time.Hour

// PruneTokens forgets tokens that were made for a day at most and ended before a
// moment, limit at once, and returns how many they were. The first of each role
// stays, for AnyToken.
func (tx *Tx) PruneTokens(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.s.exec(ctx, "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires_at < ? AND expires_at - created_at <= ? "+
		"AND id NOT IN (SELECT MIN(id) FROM tokens GROUP BY role) ORDER BY id LIMIT ?)", micros(before), briefToken.Microseconds(), limit)
}
