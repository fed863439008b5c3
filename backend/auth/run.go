package auth

import (
	"context"
	"crypto/subtle"
	"slices"
	"time"

	"ci/pkg/ci"
)

// verifyRun returns the run whose script calls. Its row is asked each time: the
// token ends with the run, and what its job may trigger can change meanwhile.
func (a *Authority) verifyRun(ctx context.Context, run int64, hash string, now time.Time) (Principal, error) {
	t, err := a.tokens.RunToken(ctx, run)
	if err != nil && ci.CodeOf(err) != ci.CodeNotFound {
		return Principal{}, err
	}
	// One sentence for all: who guesses must not learn which runs there are.
	if err != nil || t.Hash == "" || subtle.ConstantTimeCompare([]byte(t.Hash), []byte(hash)) != 1 || now.After(t.ExpiresAt) {
		return Principal{}, ci.Errorf(ci.CodeUnauthorized, "the token is of no run that is in progress; a run's token ends with its run")
	}
	jobs := append([]string{t.Run.Job}, t.Triggers...)
	slices.Sort(jobs)
	return Principal{
		Name: t.Run.String(), Role: ci.RoleRun, Jobs: slices.Compact(jobs), Run: &t.Run, Triggers: t.Triggers, ExpiresAt: t.ExpiresAt,
	}, nil
}
