package cli

import (
	"context"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type abortOptions struct {
	*app
	wait bool
}

func newAbort(a *app) *cobra.Command {
	o := &abortOptions{app: a}
	cmd := &cobra.Command{
		Use:     "abort JOB RUN",
		Aliases: []string{"cancel", "stop", "kill"},
		Short:   "Ask for a run's end",
		Long: "Ask for a run's end. Accepted is not done: the run is aborted once its agent has confirmed. Repeating it is safe.\n" +
			"With --wait it exits 0 once the run has ended, however that came about.\n\n" + pipedColumns(runPiped()),
		Args: runArgs(0),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Flags().BoolVarP(&o.wait, "wait", "w", false, "wait until the run is done")
	return cmd
}

func (o *abortOptions) run(ctx context.Context, args []string) error {
	c, ref, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	run, err := c.Abort(ctx, ref.job, ref.id)
	if err != nil {
		return err
	}
	if o.wait {
		if run, err = c.WaitRun(ctx, ref.job, ref.id, ci.UntilDone); err != nil {
			return o.interrupted(ctx, ref, err)
		}
	}
	if run.Done() {
		o.outcome(run)
	} else {
		o.note("%s will end; its agent has to confirm. See: ci watch %s", ref, ref)
	}
	if o.wantsJSON() {
		return o.printGet(ctx, runPath(ref.job, ref.id))
	}
	o.printRun(run)
	return nil
}

// interrupted is err, unless the user ended the waiting.
func (o *abortOptions) interrupted(ctx context.Context, ref runRef, err error) error {
	if ctx.Err() == nil {
		return err
	}
	o.note("The abort of %s goes on. See: ci watch %s", ref, ref)
	return &exitError{code: exitDetached}
}
