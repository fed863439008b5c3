package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"ci/pkg/ci"
)

const runFields = "id, pipeline, version, status, outcome, reason, parameters, triggered_by, rerun_of, triggered_at, abort_at, done_at, trace"

func scanRun(r *sql.Rows, more ...any) (run ci.PipelineRun, err error) {
	var parameters, trace string
	var triggered, abort, done int64
	err = r.Scan(append([]any{
		&run.ID, &run.Pipeline, &run.Version, &run.Status, &run.Outcome, &run.Reason, &parameters, &run.TriggeredBy, &run.RerunOf, &triggered, &abort, &done, &trace,
	}, more...)...)
	if err != nil {
		return run, err
	}
	if trace != "" {
		if err := json.Unmarshal([]byte(trace), &run.Trace); err != nil {
			return run, err
		}
	}
	run.Triggered, run.AbortRequestedAt, run.Done = moment(triggered), moment(abort), moment(done)
	return run, json.Unmarshal([]byte(parameters), &run.Parameters)
}

// Begin records a run, and the calls that it has from the run before, and
// fills in ID. key begins the Idempotency-Keys of its triggers; it is random.
// idempotency, unless "", makes a second Begin return the first one's run.
func (j *Journal) Begin(ctx context.Context, run *ci.PipelineRun, key, idempotency string, reused []ci.PipelineCall) (again bool, err error) {
	parameters, err := json.Marshal(run.Parameters)
	if err != nil {
		return false, err
	}
	var trace []byte
	if run.Trace != nil {
		if trace, err = json.Marshal(run.Trace); err != nil {
			return false, err
		}
	}
	err = j.write(ctx, func(tx *sql.Tx) error {
		if idempotency != "" {
			old, err := j.runs(ctx, tx, "pipeline = ? AND idempotency = ?", run.Pipeline, idempotency)
			if err != nil {
				return err
			}
			if again = len(old) > 0; again {
				*run = old[0]
				return nil
			}
		}
		if err := j.holdVersion(ctx, tx, run); err != nil {
			return err
		}
		if err := j.nextID(ctx, tx, &run.ID); err != nil {
			return err
		}
		run.Status = ci.StatusInProgress
		_, err := j.exec(ctx, tx, "INSERT INTO pipeline_runs (id, key, pipeline, version, status, outcome, reason, ending, parameters, triggered_by, idempotency, rerun_of, "+
			"triggered_at, abort_at, done_at, wake_at, lease, lease_until, wakes, trace) VALUES ("+places(20)+")",
			run.ID, key, run.Pipeline, run.Version, run.Status, "", "", "", string(parameters), run.TriggeredBy, idempotency, run.RerunOf, micros(run.Triggered), 0, 0, 0, "", 0, 0, string(trace))
		if err != nil {
			return err
		}
		for i := range reused {
			if err := j.insertCall(ctx, tx, run.ID, i, &reused[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return again, err
}

// holdVersion keeps the version that a new run is of, until its run is there: a
// version that no run has may be forgotten at any moment.
func (j *Journal) holdVersion(ctx context.Context, tx *sql.Tx, run *ci.PipelineRun) error {
	text := "SELECT version FROM pipeline_versions WHERE name = ? AND version = ?"
	if j.postgres { // SQLite has one writer
		text += " FOR SHARE"
	}
	there := false
	err := j.each(ctx, tx, func(r *sql.Rows) error {
		there = true
		return r.Scan(new(int64))
	}, text, run.Pipeline, run.Version)
	if err == nil && !there {
		return ci.Errorf(ci.CodeConflict, "version %d of pipeline %q is kept no longer; trigger the pipeline as it is now", run.Version, run.Pipeline)
	}
	return err
}

func (j *Journal) nextID(ctx context.Context, tx *sql.Tx, id *int64) error {
	if _, err := j.exec(ctx, tx, "UPDATE pipeline_ids SET next = next + 1"); err != nil {
		return err
	}
	return j.each(ctx, tx, func(r *sql.Rows) error { return r.Scan(id) }, "SELECT next FROM pipeline_ids")
}

func (j *Journal) runs(ctx context.Context, on querier, where string, args ...any) ([]ci.PipelineRun, error) {
	list := []ci.PipelineRun{}
	err := j.each(ctx, on, func(r *sql.Rows) error {
		run, err := scanRun(r)
		list = append(list, run)
		return err
	}, "SELECT "+runFields+" FROM pipeline_runs WHERE "+where, args...)
	return list, err
}

// GetRun returns a run with its calls, or ci.CodeNotFound.
func (j *Journal) GetRun(ctx context.Context, pipeline string, id int64) (*ci.PipelineRun, error) {
	list, err := j.runs(ctx, j.db, "id = ? AND pipeline = ?", id, pipeline)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, notFound("pipeline %q has no run %d", pipeline, id)
	}
	list[0].Calls, err = j.Calls(ctx, id)
	return &list[0], err
}

// Filter selects runs. Empty fields select all.
type Filter struct {
	Pipeline string
	Status   ci.Status
	Outcome  ci.Outcome
	// Before is the page's upper end, exclusive; 0 begins at the newest.
	Before int64
	Limit  int
}

// ListRuns returns runs, newest first, without their calls.
func (j *Journal) ListRuns(ctx context.Context, f Filter) ([]ci.PipelineRun, error) {
	where, args := f.where()
	return j.runs(ctx, j.db, where, args...)
}

// ListHeads is ListRuns with nothing of a run but what changes while it goes on.
func (j *Journal) ListHeads(ctx context.Context, f Filter) (list []ci.PipelineRun, err error) {
	where, args := f.where()
	err = j.each(ctx, j.db, func(r *sql.Rows) error {
		var run ci.PipelineRun
		var abort int64
		err := r.Scan(&run.ID, &run.Status, &run.Outcome, &run.Reason, &abort)
		run.AbortRequestedAt = moment(abort)
		list = append(list, run)
		return err
	}, "SELECT id, status, outcome, reason, abort_at FROM pipeline_runs WHERE "+where, args...)
	return list, err
}

func (f Filter) where() (where string, args []any) {
	where, args = "id > ?", []any{0}
	and := func(condition string, value any) {
		where += " AND " + condition
		args = append(args, value)
	}
	if f.Pipeline != "" {
		and("pipeline = ?", f.Pipeline)
	}
	if f.Status != "" {
		and("status = ?", f.Status)
	}
	if f.Outcome != "" {
		and("outcome = ?", f.Outcome)
	}
	if f.Before > 0 {
		and("id < ?", f.Before)
	}
	return where + " ORDER BY id DESC LIMIT ?", append(args, f.Limit)
}

// RequestAbort notes that somebody wants a run's end. A done run is ci.CodeConflict.
func (j *Journal) RequestAbort(ctx context.Context, pipeline string, id int64, now time.Time) error {
	n, err := j.exec(ctx, j.db, "UPDATE pipeline_runs SET abort_at = CASE WHEN abort_at = 0 THEN ? ELSE abort_at END, wake_at = 0, wakes = wakes + 1 "+
		"WHERE id = ? AND pipeline = ? AND status = 'in_progress'", micros(now), id, pipeline)
	if err == nil && n == 0 {
		return ci.Errorf(ci.CodeConflict, "run %d of pipeline %q is done", id, pipeline)
	}
	return err
}

// Answer answers an approval that is waited for: value is what the program
// gets. One that is not there, or was answered, is ci.CodeConflict.
func (j *Journal) Answer(ctx context.Context, id int64, call string, outcome ci.Outcome, by, note string, value json.RawMessage, now time.Time) error {
	return j.write(ctx, func(tx *sql.Tx) error {
		n, err := j.exec(ctx, tx, "UPDATE pipeline_calls SET done = 1, outcome = ?, reason = ?, answer_by = ?, value = ?, ended_at = ? WHERE run = ? AND id = ? AND kind = 'approve' AND done = 0",
			outcome, note, by, string(value), micros(now), id, call)
		if err != nil {
			return err
		}
		if n == 0 {
			return ci.Errorf(ci.CodeConflict, "run %d waits for no answer to call %q; it was answered already, or is no approval", id, call)
		}
		n, err = j.exec(ctx, tx, "UPDATE pipeline_runs SET wake_at = 0, wakes = wakes + 1 WHERE id = ? AND status = 'in_progress'", id)
		if err == nil && n == 0 {
			return ci.Errorf(ci.CodeConflict, "run %d is done; nothing waits for an answer", id)
		}
		return err
	})
}

// Wake makes the runs due that wait for a run of the API.
func (j *Journal) Wake(ctx context.Context, child int64) (woken int64, err error) {
	return j.exec(ctx, j.db, "UPDATE pipeline_runs SET wake_at = 0, wakes = wakes + 1 WHERE status = 'in_progress' AND id IN (SELECT run FROM pipeline_calls WHERE child = ? AND done = 0 AND child > 0)", child)
}
