package backend

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"ci/backend/auth"
	"ci/backend/secret/keyfile"
	"ci/pkg/ci"
)

const (
	// pipelinesLife is how long a token of pipelines opens anything. It is short,
	// since a cid whose disk is fresh at every start makes one each time, and
	// leaves it behind.
	pipelinesLife = 48 * time.Hour
	// pipelinesLook is how often somebody looks whether half of that is over, or the
	// token was revoked.
	pipelinesLook = time.Minute
)

// pipelinesToken is the token that the pipelines of a cid trigger runs with. It
// lies in a file, so that a restart needs no new one, and is replaced in time.
type pipelinesToken struct {
	auth *auth.Authority
	path string
	now  func() time.Time
	log  *slog.Logger

	bearer  atomic.Pointer[string]
	expires time.Time // of bearer; renew alone looks at it
}

// openPipelinesToken reads the token from its file; one that is not there, or
// opens nothing for long any more, is made.
func openPipelinesToken(ctx context.Context, a *auth.Authority, path string, now func() time.Time, log *slog.Logger) (*pipelinesToken, error) {
	t := &pipelinesToken{auth: a, path: path, now: now, log: log}
	if err := t.read(ctx); err != nil {
		return nil, err
	}
	return t, t.renew(ctx)
}

// read takes the token of the file. One that is not there, or opens nothing, is
// over: renew makes another.
func (t *pipelinesToken) read(ctx context.Context) error {
	t.expires = time.Time{}
	kept, err := os.ReadFile(t.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return ci.Errorf(ci.CodeUnavailable, "the token of pipelines can't be read: %w", err)
	}
	bearer := strings.TrimSpace(string(kept))
	p, err := t.auth.Verify(ctx, bearer)
	if ci.CodeOf(err) == ci.CodeUnauthorized {
		return nil
	}
	if err != nil {
		return err
	}
	t.expires = p.ExpiresAt // zero, as those of earlier releases have it, is over
	t.bearer.Store(&bearer)
	return nil
}

// String is the bearer.
func (t *pipelinesToken) String() string { return *t.bearer.Load() }

// look makes sure that the token opens something. In place of one that somebody has
// revoked comes the file's, which another process may have made, or a new one.
func (t *pipelinesToken) look(ctx context.Context) error {
	_, err := t.auth.Verify(ctx, t.String())
	if ci.CodeOf(err) == ci.CodeUnauthorized {
		err = t.read(ctx)
	}
	if err != nil {
		return err
	}
	return t.renew(ctx)
}

// renew makes another token when half of this one's life is over. The old one
// stays good to its end: another process may have it from the file.
func (t *pipelinesToken) renew(ctx context.Context) error {
	now := t.now()
	if t.expires.Sub(now) > pipelinesLife/2 {
		return nil
	}
	bearer, made, err := t.auth.Mint(ctx, ci.Token{Name: auth.PipelinesName(now), Role: ci.RoleTrigger, ExpiresAt: now.Add(pipelinesLife)})
	if err != nil {
		return err
	}
	t.expires = made.ExpiresAt
	t.bearer.Store(&bearer)
	return keyfile.Replace(t.path, []byte(bearer+"\n"))
}

// run replaces the token in time until ctx ends. What can't be done now is tried again.
func (t *pipelinesToken) run(ctx context.Context) error {
	tick := time.NewTicker(pipelinesLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := t.look(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("the token of pipelines could not be renewed; it will be tried again", "expires", t.expires, "err", err)
		}
	}
}
