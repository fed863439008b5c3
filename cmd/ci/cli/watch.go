package cli

import (
	"context"

	"github.com/spf13/cobra"
)

type watchOptions struct {
	*app
	logs  bool
	abort bool
}

func newWatch(a *app) *cobra.Command {
	o := &watchOptions{app: a}
	cmd := &cobra.Command{
		Use:     "watch JOB RUN",
		Aliases: []string{"wait"},
		Short:   "Wait until a run is done",
		Long: "Wait until a run is done and exit with the run's exit code (see `ci help exit-codes`). Its phases are told on standard error. " +
			"An interrupt leaves the run alone and says how to come back.\n\n" + pipedColumns(runPiped()),
		Args: runArgs(0),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Flags().BoolVarP(&o.logs, "logs", "l", false, "print the run's output, from its beginning")
	cmd.Flags().BoolVar(&o.abort, "abort-on-interrupt", false, "an interrupt aborts the run")
	return cmd
}

func (o *watchOptions) run(ctx context.Context, args []string) error {
	if o.logs && o.wantsJSON() {
		return usagef("--logs prints the run's output, --json and --jq the run itself; choose one")
	}
	c, ref, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	if _, err := c.GetRun(ctx, ref.job, ref.id); err != nil {
		return err
	}
	f, err := o.newFollower(ref, o.logs, o.abort)
	if err != nil {
		return err
	}
	return o.finish(ctx, f)
}
