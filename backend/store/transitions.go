package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ci/pkg/ci"
)

// Each move of a run is one UPDATE. Its guard is what ci.Transitions allows,
// and the claim of the agent that moves it. Only the columns of the move are
// written, so what others write beside it, like a request to abort, stays.

// PlanRun moves a run from planning to queued: its commit ("" for none), its
// job file and its class are known.
func (tx *Tx) PlanRun(ctx context.Context, id int64, sha string, spec *ci.Spec, class string, at time.Time) (*ci.Run, error) {
	to := ci.State{Phase: ci.PhaseQueued}
	run, err := tx.move(ctx, "phase = 'queued', commit_sha = ?, spec = ?, class = ?, queued_at = ?", guard(to, nil),
		sha, value(document{&spec}), class, micros(at), id)
	return tx.won(ctx, run, err, id, nil, to)
}

// ClaimRun gives a queued run to an agent, whose lease begins. A run that
// somebody wants to end is not given out. The same claim again gets the run
// again while it is still preparing, so that a lost answer costs nothing.
// An agent that is ordered to drain gets none: ci.CodeForbidden, and the run
// stays for others.
func (tx *Tx) ClaimRun(ctx context.Context, c ci.Claim, leaseUntil, deadline, at time.Time) (*ci.Run, error) {
	to := ci.State{Phase: ci.PhasePreparing}
	if err := tx.lockAgent(ctx, c.Agent, tx.d.share); err != nil {
		return nil, err
	}
	run, err := tx.move(ctx, "phase = 'preparing', agent = ?, claim = ?, lease_until = ?, deadline = ?, claimed_at = ?",
		guard(to, nil)+" AND abort_requested_at IS NULL AND NOT EXISTS (SELECT 1 FROM drains WHERE drains.agent = ?)",
		c.Agent, c.ID, micros(leaseUntil), micros(deadline), micros(at), c.Run, c.Agent)
	if doubled(err) {
		return nil, ci.Errorf(ci.CodeConflict, "run %d can't be claimed: the claim %s holds another run already", c.Run, c.ID)
	}
	if err != nil || run != nil {
		return run, err
	}
	there, err := tx.GetRun(ctx, "", c.Run)
	if err != nil {
		return nil, err
	}
	if there.Agent == c.Agent && there.Claim == c.ID && there.Phase == ci.PhasePreparing && !there.Done() {
		return there, nil
	}
	if there.Phase == ci.PhaseQueued && !there.Done() && there.AbortRequestedAt.IsZero() {
		return nil, ci.Errorf(ci.CodeForbidden, "agent %s is ordered to drain: it takes nothing new, and run %d is left to others", c.Agent, c.Run)
	}
	return tx.won(ctx, nil, nil, c.Run, nil, to)
}

// StartRun moves a run from preparing to running: the script's process exists.
func (tx *Tx) StartRun(ctx context.Context, c ci.Claim, at time.Time) (*ci.Run, error) {
	to := ci.State{Phase: ci.PhaseRunning}
	run, err := tx.move(ctx, "phase = 'running', script_started = TRUE, started_at = ?", guard(to, &c),
		micros(at), c.Run, c.Agent, c.ID)
	return tx.won(ctx, run, err, c.Run, &c, to)
}

// CollectRun moves a run from running to collecting: the script has ended,
// with exitCode unless it was killed.
func (tx *Tx) CollectRun(ctx context.Context, c ci.Claim, exitCode *int, at time.Time) (*ci.Run, error) {
	to := ci.State{Phase: ci.PhaseCollecting}
	run, err := tx.move(ctx, "phase = 'collecting', exit_code = ?, collecting_at = ?", guard(to, &c),
		value(&exitCode), micros(at), c.Run, c.Agent, c.ID)
	return tx.won(ctx, run, err, c.Run, &c, to)
}

// FinishRun ends a run for good. With a claim it has to be held by it. from
// limits the phases that it may be in; nil stands for all from which the
// outcome can be reached. An exit code that is recorded already is kept when
// end has none. Whether the script began is end's word: an agent has it
// recorded ahead, and knows at the end whether it came to it.
func (tx *Tx) FinishRun(ctx context.Context, id int64, c *ci.Claim, from []ci.Phase, end ci.End, at time.Time) (*ci.Run, error) {
	to := ci.State{Outcome: end.Outcome}
	allowed := ci.PhasesBefore(to)
	if from != nil {
		allowed = slices.DeleteFunc(allowed, func(p ci.Phase) bool { return !slices.Contains(from, p) })
	}
	if len(allowed) == 0 {
		return nil, ci.Errorf(ci.CodeConflict, "run %d can't become %s from %v", id, end.Outcome, from)
	}
	args := []any{
		string(end.Outcome), end.Reason, value(&end.ExitCode), end.ScriptStarted,
		end.Console.Bytes, end.Console.SHA256, end.Console.Truncated,
		value(document{&end.Steps}), value(document{&end.Images}), micros(at), end.Console.Bytes, id,
	}
	if c != nil {
		args = append(args, c.Agent, c.ID)
	}
	run, err := tx.move(ctx, "status = 'done', outcome = ?, reason = ?, exit_code = COALESCE(?, exit_code), script_started = ?, "+
		"console_bytes = ?, console_sha256 = ?, console_truncated = ?, steps = ?, images = ?, done_at = ?, "+counting, held(in(allowed), c), args...)
	return tx.won(ctx, run, err, id, c, to)
}

// RequestAbort notes that somebody wants the run's end; the first request
// counts. A done run is ci.CodeConflict.
func (tx *Tx) RequestAbort(ctx context.Context, job string, id int64, at time.Time) (*ci.Run, error) {
	run, err := tx.move(ctx, "abort_requested_at = COALESCE(abort_requested_at, ?)",
		"id = ? AND status = 'in_progress' AND (job = ? OR '' = ?)", micros(at), id, job, job)
	if err != nil || run != nil {
		return run, err
	}
	there, err := tx.GetRun(ctx, job, id)
	if err != nil {
		return nil, err
	}
	return nil, ci.Errorf(ci.CodeConflict, "run %d is done (%s); there is nothing to abort", id, there.Outcome)
}

// move runs one guarded update; a nil run says that the guard did not hold.
func (tx *Tx) move(ctx context.Context, set, where string, args ...any) (*ci.Run, error) {
	return one(ctx, tx.s, runPlaces, "UPDATE runs SET "+set+" WHERE "+where+" RETURNING "+runFields, args...)
}

// guard is the condition of a move to a state. Its arguments are the run's id
// and, with a claim, the agent and the claim's id.
func guard(to ci.State, c *ci.Claim) string { return held(in(ci.PhasesBefore(to)), c) }

func held(phases string, c *ci.Claim) string {
	where := "id = ? AND status = 'in_progress' AND " + phases
	if c != nil {
		where += " AND agent = ? AND claim = ? AND agent <> ''" // an empty claim holds nothing
	}
	return where
}

// in is phase IN (…). The phases are our own words and need no quoting.
func in(phases []ci.Phase) string {
	quoted := make([]string, len(phases))
	for i, p := range phases {
		quoted[i] = "'" + string(p) + "'"
	}
	return "phase IN (" + strings.Join(quoted, ", ") + ")"
}

// won passes on what a move returned, and turns a lost guard into a sentence
// that says how things stand.
func (tx *Tx) won(ctx context.Context, run *ci.Run, err error, id int64, c *ci.Claim, to ci.State) (*ci.Run, error) {
	if err != nil || run != nil {
		return run, err
	}
	there, err := tx.GetRun(ctx, "", id)
	if err != nil {
		return nil, err
	}
	goal := string(to.Phase) + string(to.Outcome)
	return nil, ci.Errorf(ci.CodeConflict, "run %d can't become %s: %s", id, goal, standing(there, c))
}

func standing(r *ci.Run, c *ci.Claim) string {
	switch {
	case r.Done():
		return fmt.Sprintf("it is done (%s)", r.Outcome)
	case c != nil && r.Agent == "":
		return fmt.Sprintf("it is %s and no agent holds it", r.Phase)
	case c != nil && (r.Agent != c.Agent || r.Claim != c.ID):
		return fmt.Sprintf("it is %s, and agent %s holds it by another claim", r.Phase, r.Agent)
	case !r.AbortRequestedAt.IsZero():
		return fmt.Sprintf("it is %s and its end was asked for", r.Phase)
	}
	return fmt.Sprintf("it is %s", r.Phase)
}
