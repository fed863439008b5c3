package engine

import (
	"context"
	"strconv"
	"sync"
	"time"

	"ci/backend/store"
	"ci/pkg/ci"
	"ci/pkg/jobfile"
)

// planLease is how long a planner may be silent before another plans its run.
const planLease = 15 * time.Second

// planners is how many runs one cid plans at once. A plan is mostly waiting
// for a git host.
const planners = 8

// planLoop plans runs as they are triggered, by this cid or another. Whoever
// takes the planner's lease plans.
func (e *Engine) planLoop(ctx context.Context) error {
	cancel, err := e.Bus.Subscribe("plan", func(_ string, data []byte) {
		if id, err := strconv.ParseInt(string(data), 10, 64); err == nil {
			e.wantPlan(id)
		}
	})
	if err != nil {
		return err
	}
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, planners)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case id := <-e.planned:
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			wg.Go(func() { e.plan(ctx, id, slots) })
		}
	}
}

// wantPlan notes a run that waits for a planner. When too many do, the
// sweeper finds it later.
func (e *Engine) wantPlan(id int64) {
	select {
	case e.planned <- id:
	default:
	}
}

// plan resolves one run's commit and job file. It holds a slot except while it
// waits for a git host that is away, so that one dead host stops nobody else.
func (e *Engine) plan(ctx context.Context, id int64, slots chan struct{}) {
	defer func() { <-slots }()
	run, err := e.leasePlan(ctx, id)
	if err != nil {
		if code := ci.CodeOf(err); code != ci.CodeConflict && code != ci.CodeNotFound {
			e.Log.Warn("plan: no lease", "run", id, "err", err)
		}
		return
	}
	keeping, stop := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { e.keepPlan(keeping, id) })
	defer keeper.Wait()
	defer stop()
	for wait := time.Second; ; wait = min(2*wait, 15*time.Second) {
		err = e.tryPlan(ctx, run)
		if ci.CodeOf(err) != ci.CodeUnavailable || e.Store.Now().Sub(run.Times.Triggered) > e.PlanFor {
			break
		}
		e.Log.Info("plan: trying again", "run", id, "job", run.Job, "in", wait, "err", err)
		<-slots
		again := sleep(ctx, wait)
		slots <- struct{}{}
		if !again {
			return
		}
	}
	if err != nil && ctx.Err() == nil {
		e.planFailed(ctx, run, err)
	}
}

func (e *Engine) leasePlan(ctx context.Context, id int64) (run *ci.Run, err error) {
	now := e.Store.Now()
	err = e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		run, err = tx.PlanLease(ctx, id, e.holder, now.Add(planLease), now)
		return err
	})
	return run, err
}

// keepPlan renews the planner's lease until ctx ends.
func (e *Engine) keepPlan(ctx context.Context, id int64) {
	for sleep(ctx, planLease/3) {
		err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
			return tx.KeepPlan(ctx, id, e.holder, e.Store.Now().Add(planLease))
		})
		if err != nil && ctx.Err() == nil {
			e.Log.Debug("plan: the lease is not renewed", "run", id, "err", err)
		}
	}
}

// tryPlan moves the run to queued.
func (e *Engine) tryPlan(ctx context.Context, run *ci.Run) error {
	commit, spec, err := e.readJobFile(ctx, run)
	if err != nil {
		return err
	}
	if run.CommitSHA != "" {
		commit = run.CommitSHA // of which the job file need not be
	}
	withhold(run, spec)
	if err := e.checkSecrets(ctx, run, spec); err != nil {
		return err
	}
	if err := checkSSH(run, spec); err != nil {
		return err
	}
	config, err := e.Store.GetConfig(ctx)
	if err != nil {
		return err
	}
	class, err := ci.ClassFor(config.Classes, spec.Needs())
	if err != nil {
		return err
	}
	return e.planDone(ctx, run.ID, commit, spec, class.Name)
}

// readJobFile finds the run's commit and its job file, by whatever opens the repository.
func (e *Engine) readJobFile(ctx context.Context, run *ci.Run) (commit string, spec *ci.Spec, err error) {
	ssh, err := e.sshAccess(ctx, run.Job, run.Git)
	if err != nil {
		return "", nil, err
	}
	sha, branch := planned(run)
	read := func(http *ci.HTTPAccess) error {
		return e.Planner.Plan(ctx, *run.Git, ci.GitAccess{SSH: ssh, HTTP: http}, sha, branch, func(sha string, file []byte, read func(path string) ([]byte, error)) (err error) {
			commit = sha
			spec, err = jobfile.Parse(run.Git.ConfigPath, file, read)
			return err
		})
	}
	http, denied := e.httpAccess(ctx, run.Git)
	err = read(http)
	if commit == "" && ci.CodeOf(err) == ci.CodeInvalid && denied == nil {
		if http, denied = e.anew(ctx, run.Git, http); http != nil {
			err = read(http)
		}
	}
	if commit == "" {
		err = unopened(err, denied)
	}
	return commit, spec, err
}

func (e *Engine) planDone(ctx context.Context, id int64, commit string, spec *ci.Spec, class string) error {
	var run *ci.Run
	err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		now := e.Store.Now()
		if run, err = tx.PlanRun(ctx, id, commit, spec, class, now); err != nil {
			return err
		}
		return tx.AddEvent(ctx, event(ci.EventRunQueued, run, now))
	})
	if ci.CodeOf(err) == ci.CodeConflict {
		return nil // aborted meanwhile
	}
	if err != nil {
		return err
	}
	e.enqueue(run)
	e.moved(ctx, run)
	return nil
}

// planFailed ends a run whose commit or job file can't be had.
func (e *Engine) planFailed(ctx context.Context, run *ci.Run, cause error) {
	e.Log.Info("plan: failed", "run", run.ID, "job", run.Job, "err", cause)
	reason := cause.Error()
	if ci.CodeOf(cause) == ci.CodeInternal {
		reason = "the run could not be planned: an internal error of the server; its log says more"
	}
	err := e.end(ctx, ending{run: run.ID, from: []ci.Phase{ci.PhasePlanning}}, ci.End{Outcome: ci.OutcomeError, Reason: reason})
	if err != nil && ci.CodeOf(err) != ci.CodeConflict {
		e.Log.Warn("plan: the failure is not recorded; the sweeper tries again", "run", run.ID, "err", err)
	}
}

// sleep waits for d and says whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
