package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type watchOptions struct {
	*app
	followOptions
	job string
}

func newWatch(a *app) *cobra.Command {
	o := &watchOptions{app: a}
	cmd := &cobra.Command{
		Use:   "watch RUN",
		Short: "Follow a run until it is done",
		Long: "Follow a run until it is done and exit with the run's exit code (see `ci help exit-codes`). Its phases are told on standard error. " +
			"An interrupt leaves the run alone and says how to come back.\n\n" +
			"With --commit it waits for a run that somebody else starts, too: the newest of that commit, or else the first to come.\n\n" + pipedColumns(runPiped()),
		Example: "  ci watch unit-test@latest\n  ci watch unit-test@main --logs\n  ci watch --commit \"$(git rev-parse HEAD)\" --job unit-test",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	a.takesRun(cmd, 0)
	cmd.Flags().StringVar(&o.job, "job", "", "with --commit: only a run of this job")
	cmd.Flags().BoolVarP(&o.logs, "logs", "l", false, "print the run's output, from its beginning")
	o.addFlags(cmd)
	return runDocument(cmd)
}

func (o *watchOptions) run(ctx context.Context, args []string) error {
	if err := o.check(o.app); err != nil {
		return err
	}
	c, ref, err := o.which(ctx, args)
	if err != nil {
		return err
	}
	if _, err := c.GetRun(ctx, ref.Job, ref.Run); err != nil {
		return err
	}
	f, err := o.newFollower(ref, o.followOptions)
	if err != nil {
		return err
	}
	return o.finish(ctx, f)
}

// which finds the run, and waits for it when only its commit is known.
func (o *watchOptions) which(ctx context.Context, args []string) (Client, ci.RunRef, error) {
	if o.commit == "" {
		if o.job != "" {
			return nil, ci.RunRef{}, usagef("--job goes with --commit; a run is named as %s/ID or %s%s", o.job, o.job, latest)
		}
		c, ref, _, err := o.openRun(ctx, args)
		return c, ref, err
	}
	t, _, err := o.target(args)
	if err != nil {
		return nil, ci.RunRef{}, err
	}
	if t.job == "" {
		t.job = o.job
	}
	if t.commit, err = o.resolveCommit(ctx, t.commit); err != nil {
		return nil, ci.RunRef{}, err
	}
	c, err := o.patientClient()
	if err != nil {
		return nil, ci.RunRef{}, err
	}
	ref, err := o.appears(ctx, c, t)
	return c, ref, err
}

// How often watch asks whether there is a run of a commit. A run that was
// triggered for a branch has its commit only once it is planned, so no event
// tells of it by its commit.
const (
	firstLook  = time.Second
	slowerLook = 5 * time.Second
)

// appears waits until a run of the commit is there.
func (o *watchOptions) appears(ctx context.Context, c Client, t target) (ci.RunRef, error) {
	told := false
	for pause := firstLook; ; pause = min(pause*3/2, slowerLook) {
		ref, err := newest(ctx, c, t)
		if ctx.Err() != nil {
			return ref, &exitError{code: exitDetached}
		}
		if err != nil || ref.Run != 0 {
			return ref, err
		}
		if !told {
			o.note("No run of commit %s yet; waiting for one.", shortSHA(t.commit))
			told = true
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ref, &exitError{code: exitDetached}
		case <-timer.C:
		}
	}
}
