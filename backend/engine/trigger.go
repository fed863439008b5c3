package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ci/backend/store"
	"ci/pkg/ci"
	"ci/pkg/jobfile"
)

// Trigger records one run and answers as soon as it is committed; a git run is
// planned afterwards. replayed says that t.IdempotencyKey had come before, and
// the run is the first one's.
func (e *Engine) Trigger(ctx context.Context, t ci.Trigger) (run *ci.Run, replayed bool, err error) {
	if err := t.Validate(); err != nil {
		return nil, false, err
	}
	if t.IdempotencyKey != "" {
		if run, err := e.replay(ctx, t, e.Store.FindIdempotent); run != nil || err != nil {
			return run, true, err
		}
	}
	runs, err := e.trigger(ctx, []ci.Trigger{t})
	if ci.CodeOf(err) == ci.CodeConflict && t.IdempotencyKey != "" {
		// The same key was inserted beside us: the first one counts.
		if run, found := e.replay(ctx, t, e.findCommitted); run != nil || found != nil {
			return run, true, found
		}
	}
	if err != nil {
		return nil, false, err
	}
	return runs[0], false, nil
}

// MaxBatch is how many runs one TriggerBatch may hold.
const MaxBatch = 1000

// TriggerBatch records all runs or none.
func (e *Engine) TriggerBatch(ctx context.Context, ts []ci.Trigger) ([]ci.Run, error) {
	if len(ts) == 0 || len(ts) > MaxBatch {
		return nil, ci.Errorf(ci.CodeInvalid, "the batch has %d runs; 1 to %d are allowed", len(ts), MaxBatch)
	}
	for i := range ts {
		if err := ts[i].Validate(); err != nil {
			return nil, within(err, fmt.Sprintf("runs[%d].", i))
		}
	}
	made, err := e.trigger(ctx, ts)
	if err != nil {
		return nil, err
	}
	runs := make([]ci.Run, len(made))
	for i, r := range made {
		runs[i] = *r
	}
	return runs, nil
}

// within puts a prefix before the paths of an error's fields.
func within(err error, prefix string) error {
	var e *ci.Error
	if !errors.As(err, &e) {
		return err
	}
	at := *e
	at.Fields = make([]ci.Field, len(e.Fields))
	for i, f := range e.Fields {
		at.Fields[i] = ci.Field{Path: prefix + f.Path, Message: f.Message}
	}
	return &at
}

func (e *Engine) trigger(ctx context.Context, ts []ci.Trigger) ([]*ci.Run, error) {
	runs, err := e.describe(ctx, ts)
	if err != nil {
		return nil, err
	}
	err = e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		for i, r := range runs {
			if err := insert(ctx, tx, ts[i], r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		e.dispatch(ctx, r)
	}
	e.tell(ctx, "events", "")
	return runs, nil
}

// describe turns triggers into the runs that they ask for, without their ids.
func (e *Engine) describe(ctx context.Context, ts []ci.Trigger) ([]*ci.Run, error) {
	config, err := e.Store.GetConfig(ctx)
	if err != nil {
		return nil, err
	}
	scripts, err := e.checkParents(ctx, ts)
	if err != nil {
		return nil, err
	}
	runs := make([]*ci.Run, len(ts))
	for i, t := range ts {
		job, err := e.Store.GetJob(ctx, t.Job)
		if err != nil {
			return nil, err
		}
		if err = e.checkKey(ctx, job); err == nil {
			t.Origin, err = e.originOf(ctx, job, t)
		}
		if err == nil {
			t.Trace = e.traceOf(ctx, t, scripts.of(t.Parent))
			runs[i], err = newRun(job, t, config, e.Store.Now())
		}
		if err != nil {
			if len(ts) > 1 {
				err = within(err, fmt.Sprintf("runs[%d].", i))
			}
			return nil, err
		}
	}
	return runs, nil
}

// newRun is a git job's run in planning, or a freestyle job's run that is
// planned already, since its job file lies in the database.
func newRun(job *ci.Job, t ci.Trigger, config *ci.Config, now time.Time) (*ci.Run, error) {
	values, err := job.Values(t.Parameters)
	if err != nil {
		return nil, err
	}
	r := &ci.Run{
		Job: job.Name, JobVersion: job.Version, Status: ci.StatusInProgress, Phase: ci.PhasePlanning,
		CommitSHA: t.CommitSHA, BranchName: t.BranchName, Parameters: values, Priority: t.Priority,
		TriggeredBy: t.By, Parent: t.Parent, Origin: t.Origin, Trace: t.Trace, Git: job.Git, Times: ci.Times{Triggered: now},
	}
	if r.Priority == "" {
		r.Priority = ci.PriorityNormal
	}
	if job.Git != nil {
		if t.CommitSHA == "" && t.BranchName == "" {
			return nil, invalid("commitSha", "job %s comes from a git repository: give commitSha or branchName", job.Name)
		}
		return r, nil
	}
	if t.Origin == nil && (t.CommitSHA != "" || t.BranchName != "") {
		return nil, invalid("commitSha", "job %s is freestyle and has no repository: leave out commitSha and branchName", job.Name)
	}
	r.CommitSHA, r.BranchName = "", ""
	if r.Spec, err = jobfile.ParseFreestyle(job.Freestyle); err != nil {
		return nil, err
	}
	withhold(r, r.Spec)
	class, err := ci.ClassFor(config.Classes, r.Spec.Needs())
	if err != nil {
		return nil, err
	}
	r.Class, r.Phase, r.Times.Queued = class.Name, ci.PhaseQueued, now
	return r, nil
}

func invalid(path, format string, args ...any) error {
	return &ci.Error{Code: ci.CodeInvalid, Message: "the trigger is not valid", Fields: []ci.Field{{Path: path, Message: fmt.Sprintf(format, args...)}}}
}

// insert commits a run with what makes it true: its events, its key.
func insert(ctx context.Context, tx *store.Tx, t ci.Trigger, r *ci.Run) error {
	if err := tx.InsertRun(ctx, r); err != nil {
		return err
	}
	if r.Origin != nil && r.Origin.Trigger != "" {
		if err := tx.OpenCheck(ctx, ci.OpenCheck{Origin: *r.Origin, Run: r.ID}); err != nil {
			return err
		}
	}
	if t.IdempotencyKey != "" {
		if err := tx.Idempotent(ctx, r.Job, t.IdempotencyKey, digest(t), r.ID, r.Times.Triggered); err != nil {
			return err
		}
	}
	if err := tx.AddEvent(ctx, event(ci.EventRunTriggered, r, r.Times.Triggered)); err != nil {
		return err
	}
	if r.Phase != ci.PhaseQueued {
		return nil
	}
	return tx.AddEvent(ctx, event(ci.EventRunQueued, r, r.Times.Queued))
}

// dispatch hands a committed run to whoever is next: a planner, or the queue.
func (e *Engine) dispatch(ctx context.Context, r *ci.Run) {
	if r.Phase == ci.PhasePlanning {
		e.tell(ctx, "plan", fmt.Sprint(r.ID))
		return
	}
	e.enqueue(r)
}

// enqueue hands a run to the publisher. When that is behind, the message is
// dropped: the sweeper finds queued runs that nobody published.
func (e *Engine) enqueue(r *ci.Run) {
	select {
	case e.outbox <- message(r):
	default:
	}
}

// finder looks a key up.
type finder func(ctx context.Context, job, key string, notBefore time.Time) (run int64, body string, found bool, err error)

// findCommitted waits in the writers' line before it looks. The row that we
// collided with may be of a transaction that shares its commit with ours, and
// then no reader sees it yet.
func (e *Engine) findCommitted(ctx context.Context, job, key string, notBefore time.Time) (run int64, body string, found bool, err error) {
	err = e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		run, body, found, err = tx.FindIdempotent(ctx, job, key, notBefore)
		return err
	})
	return run, body, found, err
}

// replay returns the run that the trigger's key made before, or nil.
func (e *Engine) replay(ctx context.Context, t ci.Trigger, find finder) (*ci.Run, error) {
	id, body, found, err := find(ctx, t.Job, t.IdempotencyKey, e.Store.Now().Add(-store.IdempotentFor))
	if err != nil || !found {
		return nil, err
	}
	if id == withdrawn {
		return nil, ci.Errorf(ci.CodeConflict, "Idempotency-Key %q of job %s was withdrawn before it made a run; to trigger one, use a new key", t.IdempotencyKey, t.Job)
	}
	if body != digest(t) {
		return nil, ci.Errorf(ci.CodeMismatch, "Idempotency-Key %q was used for another request to job %s (run %d); use a new key", t.IdempotencyKey, t.Job, id)
	}
	run, err := e.Store.GetRun(ctx, t.Job, id)
	if ci.CodeOf(err) == ci.CodeNotFound {
		return nil, ci.Errorf(ci.CodeExpired, "Idempotency-Key %q made run %d of job %s, which is kept no longer; to trigger another, use a new key", t.IdempotencyKey, id, t.Job)
	}
	return run, err
}

// digest is what two triggers with one key must have in common.
func digest(t ci.Trigger) string {
	t.By, t.IdempotencyKey = "", ""
	b, _ := json.Marshal(t) // strings and a map of strings always marshal; map keys are sorted
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
