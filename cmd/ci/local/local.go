//go:build linux

package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"ci/agentd/docker"
	"ci/agentd/runner"
	"ci/pkg/ci"
)

// tidyTime bounds what is removed at the end.
const tidyTime = 2 * time.Minute

// Carry carries an order out and returns the run as it ended: nothing of it is
// left in Docker then. The end of ctx aborts the run, which has a grace period; the
// end of Again's context kills it. An error means that it never began.
func Carry(ctx context.Context, o Order) (run *ci.Run, err error) {
	mine, dead, err := takeSlot(o.State)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.State, err)
	}
	defer mine.free()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	for _, s := range dead {
		o.tidyDead(ctx, s, log)
	}
	driver, err := o.driver(mine, log)
	if err != nil {
		return nil, err
	}
	if err := mine.mark(true); err != nil {
		return nil, err
	}
	o.Told("preparing")
	if err := driver.Open(ctx); err != nil {
		return nil, errors.Join(err, tidy(ctx, driver, mine))
	}
	run = o.carry(ctx, driver, log)
	if err := tidy(ctx, driver, mine); err != nil {
		log.Warn("something is left in Docker; the next ci exec removes it", "err", err)
	}
	return run, nil
}

func (o *Order) driver(s *slot, log *slog.Logger) (*docker.Driver, error) {
	dir := filepath.Join(o.State, s.agent)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return docker.New(docker.Config{
		Agent: s.agent, Host: o.Docker, ToolboxImage: o.ToolboxImage, Subnet: o.Subnet, Reach: o.Reach, OpenHost: o.OpenHost, Dir: dir, Log: log,
	})
}

// tidyDead removes what a killed ci has left. What fails is left for the next one.
func (o *Order) tidyDead(ctx context.Context, s *slot, log *slog.Logger) {
	defer s.free()
	driver, err := o.driver(s, log)
	if err == nil {
		err = tidy(ctx, driver, s)
	}
	if err != nil {
		log.Warn("what a killed ci exec has left in Docker could not be removed", "agent", s.agent, "err", err)
	}
}

// tidy removes everything of a slot, also after an interrupt.
func tidy(ctx context.Context, d *docker.Driver, s *slot) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	closed := d.Close(ctx)
	left, swept := d.Sweep(ctx, nil)
	if left > 0 || swept != nil {
		return errors.Join(closed, swept)
	}
	return s.mark(false)
}

// carry runs the runner, and ends it as the user wants.
func (o *Order) carry(ctx context.Context, d runner.Driver, log *slog.Logger) *ci.Run {
	work := o.work()
	claim := ci.Claim{Run: work.Run.ID, Agent: "exec", ID: uuid.NewString()}
	up := &uplink{console: o.Console, save: o.Save, told: o.Told, run: work.Run}
	r := runner.New(runner.Config{Uplink: up, Driver: &withTree{Driver: d, order: o}, Log: log}, work, claim)
	up.onEnd = func() { r.Abort("Nobody takes the output any more, so the run was ended.") }
	over := make(chan struct{})
	go func() { // Run returns before carry does
		defer close(over)
		r.Run(context.WithoutCancel(ctx))
	}()
	select {
	case <-over:
		return up.ended()
	case <-ctx.Done():
	}
	again, stop := o.Again(ctx)
	defer stop()
	o.Told("ending it; another interrupt kills it")
	r.Abort("The run was aborted by an interrupt.")
	select {
	case <-over:
	case <-again.Done():
		r.Stop()
		<-over
	}
	run := up.ended()
	if run.Outcome == "" {
		run.Status, run.Outcome, run.Reason, run.Times.Done = ci.StatusDone, ci.OutcomeAborted, "The run was killed by a second interrupt.", time.Now()
	}
	return run
}

// work is what an agent gets from a backend, made by hand.
func (o *Order) work() ci.Work {
	config := ci.DefaultConfig()
	spec := *o.Spec
	spec.SSH = false // it is the developer's agent that the script reaches; see withTree
	now := time.Now()
	return ci.Work{
		Run: ci.Run{
			ID: now.Unix(), Job: o.Job, Status: ci.StatusInProgress, Phase: ci.PhasePreparing, Priority: ci.PriorityNormal,
			Git: &ci.Git{ConfigPath: o.Tree.File}, Spec: &spec, CommitSHA: o.Tree.Commit, BranchName: o.Tree.Branch,
			Parameters: o.Parameters, Trace: o.Trace, Times: ci.Times{Triggered: now, Queued: now, Claimed: now},
		},
		Timeout: time.Duration(cmp.Or(spec.Timeout, config.GlobalTimeout)), AbortGrace: config.GraceOf(&spec), Secrets: o.Secrets,
		MaxConsole: config.MaxConsole, MaxResult: config.MaxResult, MaxResultFiles: config.MaxResultFiles,
	}
}

// withTree is the driver with the developer's files instead of a repository's,
// and with their SSH agent.
type withTree struct {
	runner.Driver
	order *Order
}

// Prepare implements runner.Driver.
func (d *withTree) Prepare(ctx context.Context, o runner.Order, console io.Writer) (runner.Box, error) {
	spec := d.order.Spec
	o.Checkout.Tree = func(ctx context.Context, w io.Writer) error {
		return d.order.Tree.Write(ctx, w, spec.Git.Depth, spec.Git.Submodules)
	}
	if spec.SSH {
		d.forward(&o, console)
	}
	if spec.CI {
		fmt.Fprintln(console, "The job file says ci: true; this run is on no server, so CI_URL and CI_TOKEN are not there, and the script can't call one.")
	}
	return d.Driver.Prepare(ctx, o, console)
}
