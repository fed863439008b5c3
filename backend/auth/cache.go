package auth

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"ci/pkg/ci"
)

const (
	// trust is how long a database row is believed: a revoked token opens
	// nothing any more after that.
	trust = 2 * time.Second
	// maxCached bounds each of the two maps.
	maxCached = 8192
)

// cache keeps verified claims (they never change: the signature is over them)
// and, for moments, rows.
type cache struct {
	mu       sync.RWMutex
	verified map[[sha256.Size]byte]claims
	rows     map[string]cachedRow
	flight   singleflight.Group
}

type cachedRow struct {
	token *ci.Token
	err   error
	at    time.Time
}

func newCache() *cache {
	return &cache{verified: map[[sha256.Size]byte]claims{}, rows: map[string]cachedRow{}}
}

func (c *cache) claims(bearer string) (claims, bool) {
	if len(bearer) > maxToken {
		return claims{}, false
	}
	key := sha256.Sum256([]byte(bearer))
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.verified[key]
	return v, ok
}

func (c *cache) keep(bearer string, v claims) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.verified) >= maxCached {
		clear(c.verified)
	}
	c.verified[sha256.Sum256([]byte(bearer))] = v
}

// row returns the token's row, at most trust old. Only "found" and "not
// found" are kept; a failing database is asked again each time.
func (c *cache) row(ctx context.Context, id string, now time.Time, get func(context.Context, string) (*ci.Token, error)) (*ci.Token, error) {
	c.mu.RLock()
	r, ok := c.rows[id]
	c.mu.RUnlock()
	if age := now.Sub(r.at); ok && age >= 0 && age < trust {
		return r.token, r.err
	}
	v, err, _ := c.flight.Do(id, func() (any, error) {
		// The answer is for all who wait for it, so the first one's leaving must not spoil it.
		t, err := get(context.WithoutCancel(ctx), id)
		if err != nil && ci.CodeOf(err) != ci.CodeNotFound {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.rows) >= maxCached {
			clear(c.rows)
		}
		c.rows[id] = cachedRow{token: t, err: err, at: now}
		return t, err
	})
	if err != nil {
		return nil, err
	}
	return v.(*ci.Token), nil
}

func (c *cache) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.rows, id)
	c.flight.Forget(id)
}
