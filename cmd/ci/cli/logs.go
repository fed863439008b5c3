package cli

import (
	"context"

	"github.com/spf13/cobra"
)

type logsOptions struct {
	*app
	follow bool
	offset int64
}

func newLogs(a *app) *cobra.Command {
	o := &logsOptions{app: a}
	cmd := &cobra.Command{
		Use:     "logs JOB RUN",
		Aliases: []string{"log", "console"},
		Short:   "Print what a run printed",
		Long: "Print what a run printed, or with -f prints. A pipe gets the bytes as they are. On a terminal text and colours pass, " +
			"and everything else that a terminal would obey is dropped.\n\nThe exit code says whether the output could be had, not how the run ended; `ci watch --logs` does both.",
		Args: runArgs(0),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on until the run is done")
	cmd.Flags().Int64Var(&o.offset, "offset", 0, "begin at this byte")
	return cmd
}

func (o *logsOptions) run(ctx context.Context, args []string) error {
	switch {
	case o.wantsJSON():
		return usagef("a console is not JSON; `ci show --json` prints what is known of the run")
	case o.offset < 0:
		return usagef("--offset %d is negative", o.offset)
	}
	c, ref, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	if o.follow {
		if c, err = o.patientClient(); err != nil {
			return err
		}
	}
	err = o.copyConsole(ctx, c, ref, o.offset, o.follow)
	if ctx.Err() != nil {
		return &exitError{code: exitDetached}
	}
	return err
}
