package store

import (
	"context"

	"ci/pkg/ci"
)

// The columns of runs. listFields leaves out the largest, which are the last.
const (
	listFields = "id, job, job_version, status, phase, outcome, reason, exit_code, script_started, " +
		"commit_sha, branch_name, parameters, priority, triggered_by, git, class, agent, claim, " +
		"lease_until, deadline, abort_requested_at, " +
		"triggered_at, queued_at, claimed_at, started_at, collecting_at, done_at, " +
		"console_bytes, console_sha256, console_truncated, parent_job, parent_run, origin, trace, results_expired_at, console_expired_at"
	runFields = listFields + ", steps, images, spec"
)

func listPlaces(r *ci.Run) []any {
	return []any{
		&r.ID, &r.Job, &r.JobVersion, (*string)(&r.Status), (*string)(&r.Phase), (*string)(&r.Outcome), &r.Reason, &r.ExitCode, &r.ScriptStarted,
		&r.CommitSHA, &r.BranchName,
		document{&r.Parameters},
		(*string)(&r.Priority), &r.TriggeredBy,
		document{&r.Git},
		&r.Class, &r.Agent, &r.Claim,
		stamp{&r.LeaseUntil},
		stamp{&r.Deadline},
		stamp{&r.AbortRequestedAt},
		stamp{&r.Times.Triggered},
		stamp{&r.Times.Queued},
		stamp{&r.Times.Claimed},
		stamp{&r.Times.Started},
		stamp{&r.Times.Collecting},
		stamp{&r.Times.Done},
		&r.Console.Bytes, &r.Console.SHA256, &r.Console.Truncated,
		parentJob{&r.Parent},
		parentRun{&r.Parent},
		document{&r.Origin},
		document{&r.Trace},
		stamp{&r.ResultsExpiredAt},
		stamp{&r.ConsoleExpiredAt},
	}
}

func runPlaces(r *ci.Run) []any {
	return append(listPlaces(r), document{&r.Steps}, document{&r.Images}, document{&r.Spec})
}

// InsertRun records a new run as it is, and where its commit comes from, and sets
// its ID.
func (tx *Tx) InsertRun(ctx context.Context, r *ci.Run) error {
	repo, head, line := originKeys(r.Origin)
	places := append(runPlaces(r)[1:], &repo, &head, &line)
	fields := runFields[len("id, "):] + ", origin_repo, origin_head, origin_line"
	id, err := one(ctx, tx.s, idPlaces, insertText("runs", fields, len(places))+" RETURNING id", values(places)...)
	if err != nil {
		return err
	}
	r.ID = *id
	return tx.keepOrigin(ctx, r)
}

// GetRun returns the run, or ci.CodeNotFound; job "" is any, and a run of
// another job is not found.
func (r reader) GetRun(ctx context.Context, job string, id int64) (*ci.Run, error) {
	run, err := one(ctx, r.s, runPlaces, "SELECT "+runFields+" FROM runs WHERE id = ?", id)
	if err != nil {
		return nil, err
	}
	if run == nil || (job != "" && run.Job != job) {
		return nil, noRun(job, id)
	}
	return run, nil
}

func noRun(job string, id int64) error {
	if job == "" {
		return ci.Errorf(ci.CodeNotFound, "there is no run %d", id)
	}
	return ci.Errorf(ci.CodeNotFound, "job %q has no run %d", job, id)
}

// DeleteRun removes a done run with its results, console index, events and pins.
// Where its commit comes from stays known. Objects outside the database are for the caller, see Expire. A run that
// is not there is fine; one in progress is ci.CodeConflict.
func (tx *Tx) DeleteRun(ctx context.Context, id int64) error {
	n, err := tx.s.exec(ctx, "DELETE FROM runs WHERE id = ? AND status = 'done'", id)
	if err != nil {
		return err
	}
	if n == 0 {
		if r, err := tx.GetRun(ctx, "", id); ci.CodeOf(err) != ci.CodeNotFound {
			if err != nil {
				return err
			}
			return ci.Errorf(ci.CodeConflict, "run %d is %s; only a done run can be deleted", id, r.Phase)
		}
	}
	for _, text := range []string{"DELETE FROM results WHERE run = ?", "DELETE FROM chunks WHERE run = ?", "DELETE FROM events WHERE run = ?", "DELETE FROM pins WHERE run = ?"} {
		if _, err := tx.s.exec(ctx, text, id); err != nil {
			return err
		}
	}
	return nil
}
