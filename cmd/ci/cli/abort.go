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
		Use:     "abort RUN…",
		Aliases: []string{"cancel", "stop", "kill"},
		Short:   "Ask for the end of runs",
		Long: "Ask for the end of runs. Accepted is not done: a run is aborted once its agent has confirmed. Repeating it is safe.\n" +
			"With --wait it exits 0 once the runs have ended, however that came about. Of several runs, those that are done already are passed over.\n\n" + pipedColumns(runPiped()),
		Example: "  ci abort slow@latest --wait\n  ci abort slow@main slow@latest",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	a.takesRuns(cmd)
	cmd.Flags().BoolVarP(&o.wait, "wait", "w", false, "wait until the runs are done")
	return runDocument(cmd)
}

func (o *abortOptions) run(ctx context.Context, args []string) error {
	c, refs, err := o.openRuns(ctx, args)
	if err != nil {
		return err
	}
	// All are asked before one is waited for.
	runs := make([]*ci.Run, len(refs))
	for i, ref := range refs {
		if runs[i], err = c.Abort(ctx, ref.Job, ref.Run); err == nil {
			continue
		}
		if len(refs) == 1 || ci.CodeOf(err) != ci.CodeConflict {
			return err
		}
		if runs[i], err = c.GetRun(ctx, ref.Job, ref.Run); err != nil {
			return err
		}
	}
	for i, ref := range refs {
		if o.wait {
			if runs[i], err = c.WaitRun(ctx, ref.Job, ref.Run, ci.UntilDone); err != nil {
				return o.interrupted(ctx, ref, err)
			}
		}
		if err := o.aborted(ctx, runs[i]); err != nil {
			return err
		}
	}
	return nil
}

// aborted prints one run whose end was asked for.
func (o *abortOptions) aborted(ctx context.Context, run *ci.Run) error {
	if run.Done() {
		o.outcome(run)
	} else {
		o.note("%s will end; its agent has to confirm. See: ci watch %s", refOf(run), refOf(run))
	}
	if o.wantsJSON() {
		return o.printGet(ctx, runPath(run.Job, run.ID))
	}
	o.printRun(run)
	return nil
}

// interrupted is err, unless the user ended the waiting.
func (o *abortOptions) interrupted(ctx context.Context, ref ci.RunRef, err error) error {
	if ctx.Err() == nil {
		return err
	}
	o.note("The abort of %s goes on. See: ci watch %s", ref, ref)
	return &exitError{code: exitDetached}
}
