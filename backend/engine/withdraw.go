package engine

import (
	"context"

	"ci/backend/store"
	"ci/pkg/ci"
)

// withdrawn stands in place of a run at a key that is to make none.
const withdrawn = 0

// Withdraw gives up a trigger whose answer did not come: it returns the run that
// its key has made, or nil. Then the key makes none any more, though the trigger
// may still be on its way. Safe to repeat.
func (e *Engine) Withdraw(ctx context.Context, job, key string) (*ci.Run, error) {
	if key == "" {
		return nil, &ci.Error{Code: ci.CodeInvalid, Message: "the request is not valid", Fields: []ci.Field{{Path: "Idempotency-Key", Message: "is missing; it is the key of the trigger that is given up"}}}
	}
	if err := (&ci.Trigger{Job: job, IdempotencyKey: key}).Validate(); err != nil {
		return nil, err
	}
	if _, err := e.Store.GetJob(ctx, job); err != nil {
		return nil, err
	}
	made, err := e.withdraw(ctx, job, key)
	if ci.CodeOf(err) == ci.CodeConflict {
		// The trigger came beside us: now it can be seen.
		made, err = e.withdraw(ctx, job, key)
	}
	if err != nil || made == withdrawn {
		return nil, err
	}
	return e.Store.GetRun(ctx, job, made)
}

func (e *Engine) withdraw(ctx context.Context, job, key string) (made int64, err error) {
	err = e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		now := e.Store.Now()
		var found bool
		if made, _, found, err = tx.FindIdempotent(ctx, job, key, now.Add(-store.IdempotentFor)); err != nil || found {
			return err
		}
		return tx.Idempotent(ctx, job, key, "", withdrawn, now)
	})
	return made, err
}
