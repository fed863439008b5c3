package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"ci/pkg/ci"
)

// Ending is how a run ends once all its children have ended.
type Ending struct {
	Outcome ci.Outcome `json:"outcome"`
	Reason  string     `json:"reason"`
}

// Work is a run with its calls as its worker has it, from Claim to Release.
type Work struct {
	ci.PipelineRun
	Key     string
	Program string
	Lease   string
	// Ending is set once the program has come to its end; nil before.
	Ending *Ending
	wakes  int64
}

// Due returns up to limit runs that somebody has to look at, those that wait
// longest first.
func (j *Journal) Due(ctx context.Context, now time.Time, limit int) ([]int64, error) {
	var ids []int64
	err := j.each(ctx, j.db, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	}, "SELECT id FROM pipeline_runs WHERE status = 'in_progress' AND wake_at <= ? AND lease_until <= ? ORDER BY wake_at, id LIMIT ?", micros(now), micros(now), limit)
	return ids, err
}

// Claim gives a run to a worker until a moment, under a token that is nobody
// else's. It returns nil when another one has it, or it is done or not due.
func (j *Journal) Claim(ctx context.Context, id int64, lease string, until, now time.Time) (*Work, error) {
	n, err := j.exec(ctx, j.db, "UPDATE pipeline_runs SET lease = ?, lease_until = ? WHERE id = ? AND status = 'in_progress' AND lease_until <= ? AND wake_at <= ?",
		lease, micros(until), id, micros(now), micros(now))
	if err != nil || n == 0 {
		return nil, err
	}
	return j.load(ctx, id, lease)
}

// load reads a run that is claimed. A wake that comes after it is kept by its count.
func (j *Journal) load(ctx context.Context, id int64, lease string) (*Work, error) {
	var w *Work
	var ending string
	err := j.each(ctx, j.db, func(r *sql.Rows) (err error) {
		w = &Work{Lease: lease}
		w.PipelineRun, err = scanRun(r, &w.Key, &ending, &w.wakes)
		return err
	}, "SELECT "+runFields+", key, ending, wakes FROM pipeline_runs WHERE id = ? AND lease = ?", id, lease)
	if err != nil || w == nil {
		return nil, err
	}
	if ending != "" {
		if err := json.Unmarshal([]byte(ending), &w.Ending); err != nil {
			return nil, err
		}
	}
	if w.Program, err = j.Program(ctx, w.Pipeline, w.Version); err != nil {
		return nil, err
	}
	w.Calls, err = j.Calls(ctx, id)
	return w, err
}

var (
	// ErrLost is in the error of a worker whose lease another one has.
	ErrLost = errors.New("the lease is lost")
	// ErrAnswered is in the error of a worker who would end a call that was answered meanwhile.
	ErrAnswered = errors.New("look again")
)

func lost(id int64) error {
	return ci.Errorf(ci.CodeConflict, "another worker has run %d of a pipeline by now: %w", id, ErrLost)
}

// hold renews a lease in a transaction, which keeps all others out of the run.
func (j *Journal) hold(ctx context.Context, tx *sql.Tx, w *Work, until time.Time) error {
	n, err := j.exec(ctx, tx, "UPDATE pipeline_runs SET lease_until = ? WHERE id = ? AND lease = ? AND status = 'in_progress'", micros(until), w.ID, w.Lease)
	if err == nil && n == 0 {
		return lost(w.ID)
	}
	return err
}

// Save writes calls that are new, calls of which more is known, and the ending
// if there is one, and renews the lease. w itself is not changed.
func (j *Journal) Save(ctx context.Context, w *Work, made, changed []ci.PipelineCall, until time.Time) error {
	return j.write(ctx, func(tx *sql.Tx) error {
		if err := j.hold(ctx, tx, w, until); err != nil {
			return err
		}
		for i := range made {
			if err := j.insertCall(ctx, tx, w.ID, len(w.Calls)+i, &made[i]); err != nil {
				return err
			}
		}
		for i := range changed {
			if err := j.updateCall(ctx, tx, w.ID, &changed[i]); err != nil {
				return err
			}
		}
		if w.Ending == nil {
			return nil
		}
		ending, err := json.Marshal(w.Ending)
		if err != nil {
			return err
		}
		_, err = j.exec(ctx, tx, "UPDATE pipeline_runs SET ending = ? WHERE id = ?", string(ending), w.ID)
		return err
	})
}

// Release gives a run back, to be looked at again at a moment, or at once if it
// was woken since it was claimed. reason says for people what it waits for.
func (j *Journal) Release(ctx context.Context, w *Work, wake time.Time, reason string) error {
	n, err := j.exec(ctx, j.db, "UPDATE pipeline_runs SET lease = '', lease_until = 0, reason = ?, wake_at = CASE WHEN wakes = ? THEN CAST(? AS BIGINT) ELSE 0 END WHERE id = ? AND lease = ?",
		reason, w.wakes, micros(wake), w.ID, w.Lease)
	if err == nil && n == 0 {
		return lost(w.ID)
	}
	return err
}

// Finish ends a run with its Ending.
func (j *Journal) Finish(ctx context.Context, w *Work, now time.Time) error {
	n, err := j.exec(ctx, j.db, "UPDATE pipeline_runs SET status = 'done', outcome = ?, reason = ?, done_at = ?, lease = '', lease_until = 0 WHERE id = ? AND lease = ? AND status = 'in_progress'",
		w.Ending.Outcome, w.Ending.Reason, micros(now), w.ID, w.Lease)
	if err == nil && n == 0 {
		return lost(w.ID)
	}
	return err
}
