package engine

import (
	"context"
	"fmt"

	"ci/backend/store"
	"ci/pkg/ci"
)

// settled is what a settlement has moved.
type settled struct {
	runs    []*ci.Run
	aborted []*ci.Run
}

// SettleWebhook makes all of a settlement true at once: the runs that a
// delivery asks for, the ends that it asks for, and that it was acted on. So
// none is acted on twice, however often the process dies. A delivery that is
// settled, or that another holds by now, is ci.CodeConflict, and nothing
// happens. A run to abort that is done already is left as it is.
func (e *Engine) SettleWebhook(ctx context.Context, s ci.Settlement) ([]ci.RunRef, error) {
	runs, err := e.describeEach(ctx, &s)
	if err != nil {
		return nil, err
	}
	var done settled
	err = e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		done, err = e.settle(ctx, tx, s, runs)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, r := range done.aborted {
		e.aborted(ctx, r)
	}
	for _, r := range done.runs {
		e.dispatch(ctx, r)
	}
	if len(done.runs) > 0 {
		e.tell(ctx, "events", "")
	}
	return refs(done.runs), nil
}

// describeEach turns the triggers into runs. One that can't become a run, for
// good, is taken out and the note says why: the others are not to suffer.
func (e *Engine) describeEach(ctx context.Context, s *ci.Settlement) (runs []*ci.Run, err error) {
	var fit []ci.Trigger
	for _, t := range s.Triggers {
		var made []*ci.Run
		if err = t.Validate(); err == nil {
			made, err = e.describe(ctx, []ci.Trigger{t})
		}
		switch code := ci.CodeOf(err); {
		case err == nil:
			fit, runs = append(fit, t), append(runs, made...)
		case code == ci.CodeUnavailable || code == ci.CodeInternal || ctx.Err() != nil:
			return nil, err
		default:
			s.Note += fmt.Sprintf(" Trigger %s started no run of job %s: %s.", t.Origin.Trigger, t.Job, err)
		}
	}
	s.Triggers = fit
	return runs, nil
}

// settle is the transaction. It may be tried again, so it changes nothing of s.
func (e *Engine) settle(ctx context.Context, tx *store.Tx, s ci.Settlement, runs []*ci.Run) (settled, error) {
	var done settled
	for i, r := range runs {
		made := *r // a transaction that is tried again begins with the same
		if err := insert(ctx, tx, s.Triggers[i], &made); err != nil {
			return done, err
		}
		done.runs = append(done.runs, &made)
	}
	for _, a := range s.Aborts {
		run, err := e.abort(ctx, tx, a.Run.Job, a.Run.Run, a.By)
		if code := ci.CodeOf(err); code == ci.CodeConflict || code == ci.CodeNotFound {
			continue // it has ended by itself, or is gone
		}
		if err != nil {
			return done, err
		}
		done.aborted = append(done.aborted, run)
	}
	for _, held := range s.Held {
		if err := tx.OpenCheck(ctx, held); err != nil {
			return done, err
		}
	}
	for name, id := range s.Pins {
		if err := tx.PinEventTrigger(ctx, name, id); err != nil {
			return done, err
		}
	}
	return done, tx.SettleWebhook(ctx, s.Seq, s.Holder, s.Note, refs(done.runs), e.Store.Now())
}

func refs(runs []*ci.Run) []ci.RunRef {
	list := make([]ci.RunRef, len(runs))
	for i, r := range runs {
		list[i] = ci.RunRef{Job: r.Job, Run: r.ID}
	}
	return list
}
