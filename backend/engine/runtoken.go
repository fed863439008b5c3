package engine

import (
	"context"

	"ci/backend/store"
	"ci/pkg/ci"
)

// runToken makes the token of a run's script, if its job file asks for one. A
// claim that is repeated gets another: the first one's answer was lost.
func runToken(r *ci.Run) (bearer, hash string) {
	if !r.Spec.CI {
		return "", ""
	}
	return ci.NewRunToken(r.ID)
}

// recordToken makes the token open the API, until the run ends.
func recordToken(ctx context.Context, tx *store.Tx, c ci.Claim, hash string) error {
	if hash == "" {
		return nil
	}
	return tx.SetRunToken(ctx, c, hash)
}
