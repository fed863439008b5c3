package store

import (
	"context"

	"ci/pkg/ci"
)

// The token of a run's script is a hash in the run's own row. So it ends with
// the run, whoever ends it and however, and no list of tokens has it.

// SetRunToken records the hash of a run's token for the claim that holds it,
// and takes the place of an earlier one. A claim that holds nothing is ci.CodeConflict.
func (tx *Tx) SetRunToken(ctx context.Context, c ci.Claim, hash string) error {
	n, err := tx.s.exec(ctx, "UPDATE runs SET token_hash = ? WHERE id = ? AND status = 'in_progress' AND agent = ? AND claim = ? AND agent <> ''", hash, c.Run, c.Agent, c.ID)
	if err != nil || n == 1 {
		return err
	}
	return tx.HoldRun(ctx, c)
}

// RunToken returns the token of a run in progress, with what its job may
// trigger at present; ci.CodeNotFound when there is none.
func (r reader) RunToken(ctx context.Context, run int64) (*ci.RunToken, error) {
	places := func(t *ci.RunToken) []any {
		return []any{&t.Run.Run, &t.Run.Job, &t.Hash, stamp{&t.ExpiresAt}, document{&t.Triggers}}
	}
	t, err := one(ctx, r.s, places, "SELECT r.id, r.job, r.token_hash, r.deadline, j.triggers FROM runs r LEFT JOIN jobs j ON j.name = r.job "+
		"WHERE r.id = ? AND r.status = 'in_progress' AND r.token_hash <> ''", run)
	if err == nil && t == nil {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no token of run %d", run)
	}
	return t, err
}
