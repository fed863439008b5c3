package auth

import (
	"context"
	"slices"
	"time"

	"ci/pkg/ci"
)

// Principal is who calls.
type Principal struct {
	TokenID string
	Name    string
	Role    ci.Role
	// Agent is whom it is; "" unless Role is agent.
	Agent string
	// Jobs limits it to these; empty does not limit.
	Jobs []string
	// Run is the run whose script calls; nil unless Role is run. Its Jobs are
	// its own and those that it may trigger.
	Run *ci.RunRef
	// Triggers are the jobs that a run may trigger.
	Triggers []string
	// ExpiresAt is when its token ends; zero is never.
	ExpiresAt time.Time
}

// Limited says whether the principal may know of some jobs only.
func (p Principal) Limited() bool { return len(p.Jobs) > 0 || p.Role == ci.RoleRun }

// Sees says whether the principal may know of a job of that name.
func (p Principal) Sees(job string) bool { return !p.Limited() || slices.Contains(p.Jobs, job) }

// Visible is the limit for lists: nil when there is none. It is never nil for
// a limited principal, so an empty list shows nothing.
func (p Principal) Visible() []string {
	if !p.Limited() {
		return nil
	}
	return append([]string{}, p.Jobs...)
}

type contextKey struct{}

// WithPrincipal returns a context that says who calls.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext returns who calls. Without anyone it returns false and a
// principal that May refuses everything.
func FromContext(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(contextKey{}).(Principal)
	return p, ok
}
