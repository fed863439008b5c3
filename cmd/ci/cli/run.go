package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type runOptions struct {
	*app
	trigger    ci.Trigger
	priority   string
	parameters []string
	wait       bool
	logs       bool
	abort      bool
}

func newRun(a *app) *cobra.Command {
	o := &runOptions{app: a}
	cmd := &cobra.Command{
		Use:     "run JOB",
		Aliases: []string{"trigger", "start"},
		Short:   "Trigger a run of a job",
		Long: "Trigger a run of a job.\n\nIt answers as soon as the run is recorded. With --wait it stays until the run is done and exits with the run's exit code (see `ci help exit-codes`); " +
			"an interrupt leaves the run alone and says how to come back.\n\n" + pipedColumns(runPiped()),
		Example: "  ci run unit-test --branch main --wait\n  ci run deploy -p STAGE=test --logs",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.trigger.Job = args[0]
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.trigger.BranchName, "branch", "b", "", "run the newest commit of this branch")
	f.StringVarP(&o.trigger.CommitSHA, "commit", "c", "", "run this commit: its full id")
	f.StringArrayVarP(&o.parameters, "param", "p", nil, "give a parameter a value: `NAME=VALUE`; may be repeated")
	f.StringVar(&o.priority, "priority", "", "normal or urgent: urgent runs go first")
	f.StringVar(&o.trigger.IdempotencyKey, "idempotency-key", "", "a repeated trigger with the same key returns the first one's run")
	f.BoolVarP(&o.wait, "wait", "w", false, "wait until the run is done")
	f.BoolVarP(&o.logs, "logs", "l", false, "print the run's output while it runs; waits too")
	f.BoolVar(&o.abort, "abort-on-interrupt", false, "while waiting, an interrupt aborts the run")
	cmd.MarkFlagsMutuallyExclusive("branch", "commit")
	return cmd
}

func (o *runOptions) run(ctx context.Context) error {
	if o.logs && o.wantsJSON() {
		return usagef("--logs prints the run's output, --json and --jq the run itself; choose one")
	}
	values, err := parameters(o.parameters)
	if err != nil {
		return err
	}
	o.trigger.Parameters, o.trigger.Priority = values, ci.Priority(o.priority)
	if err := o.trigger.Validate(); err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	run, err := c.Trigger(ctx, o.trigger)
	if err != nil {
		return err
	}
	if !o.wait && !o.logs {
		return o.triggered(ctx, run)
	}
	o.note("%s triggered", refOf(run))
	f, err := o.newFollower(refOf(run), o.logs, o.abort)
	if err != nil {
		return err
	}
	return o.finish(ctx, f)
}

// triggered prints a run that nobody waits for.
func (o *runOptions) triggered(ctx context.Context, run *ci.Run) error {
	if o.wantsJSON() {
		return o.printGet(ctx, runPath(run.Job, run.ID))
	}
	o.printRun(run)
	if o.OutTTY {
		_, _ = o.Out.Write([]byte(refOf(run).String() + " is " + state(run) + "\n"))
		o.note("Follow it with: ci logs -f %s", refOf(run))
	}
	return nil
}

// finish follows a run to its end, prints it and turns its outcome into an exit code.
func (a *app) finish(ctx context.Context, f *follower) error {
	run, err := f.follow(ctx)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // an interrupt that aborted the run must not hide how it ended
	if run.Outcome != ci.OutcomeSucceeded && !f.logs {
		a.tail(ctx, f.client, run)
	}
	a.outcome(run)
	switch {
	case a.wantsJSON():
		if err := a.printGet(ctx, runPath(run.Job, run.ID)); err != nil {
			return err
		}
	case !f.logs:
		a.printRun(run)
	}
	return exitOf(run)
}

// parameters reads NAME=VALUE pairs.
func parameters(pairs []string) (map[string]string, error) {
	values := make(map[string]string, len(pairs))
	for _, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usagef("--param %q has no value; expected NAME=VALUE", p)
		}
		if _, twice := values[name]; twice {
			return nil, usagef("--param %s is there twice", name)
		}
		values[name] = value
	}
	return values, nil
}
