package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type runOptions struct {
	*app
	followOptions
	trigger    ci.Trigger
	commitRev  string
	priority   string
	parameters []string
}

func newRun(a *app) *cobra.Command {
	o := &runOptions{app: a}
	cmd := &cobra.Command{
		Use:     "run JOB",
		Aliases: []string{"trigger", "start"},
		Short:   "Trigger a run of a job",
		Long: "Trigger a run of a job.\n\nOn a terminal it prints the run's output while it runs. In a pipe it answers as soon as the run is recorded; --wait and --logs make it stay. " +
			"When it stays, it exits with the run's exit code (see `ci help exit-codes`), and an interrupt leaves the run alone and says how to come back. " +
			"On a terminal a second interrupt within two seconds aborts it.\n\n" + pipedColumns(runPiped()),
		Example: "  ci run unit-test --branch main --wait\n  ci run unit-test --commit HEAD --logs\n  ci run deploy -p STAGE=test --detach",
		Args:    a.jobArg(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.trigger.BranchName, "branch", "b", "", "run the newest commit of this branch")
	f.StringVarP(&o.commitRev, "commit", "c", "", "run this commit: its full id, or a `rev` of the working tree such as HEAD")
	f.StringArrayVarP(&o.parameters, "param", "p", nil, "give a parameter a value: `NAME=VALUE`; may be repeated")
	f.StringVar(&o.priority, "priority", "", "normal or urgent: urgent runs go first")
	f.StringVar(&o.trigger.IdempotencyKey, "idempotency-key", "", "a repeated trigger with the same key returns the first one's run")
	o.addTriggerFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("branch", "commit")
	return runDocument(cmd)
}

func (o *runOptions) run(ctx context.Context, args []string) error {
	if err := o.check(o.app); err != nil {
		return err
	}
	values, err := parameters(o.parameters)
	if err != nil {
		return err
	}
	if o.trigger.CommitSHA, err = o.resolveCommit(ctx, o.commitRev); err != nil {
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
	if o.trigger.Job, err = o.jobOf(ctx, c, args); err != nil {
		return err
	}
	return o.start(ctx, c, o.trigger, o.followOptions)
}

// start triggers a run and stays with it as asked.
func (a *app) start(ctx context.Context, c Client, t ci.Trigger, o followOptions) error {
	run, err := c.Trigger(ctx, t)
	if err != nil {
		return err
	}
	if !o.stays(a) {
		return a.triggered(ctx, run)
	}
	a.note("%s triggered", refOf(run))
	o.logs = o.logs || !o.wait && !o.ndjson
	f, err := a.newFollower(refOf(run), o)
	if err != nil {
		return err
	}
	return a.finish(ctx, f)
}

// triggered prints a run that nobody waits for.
func (a *app) triggered(ctx context.Context, run *ci.Run) error {
	if a.wantsJSON() {
		return a.printGet(ctx, runPath(run.Job, run.ID))
	}
	a.printRun(run)
	if a.OutTTY {
		_, _ = a.Out.Write([]byte(refOf(run).String() + " is " + state(run) + "\n"))
		a.hint("Follow it with: ci logs -f %s", refOf(run))
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
	if run.Outcome != ci.OutcomeSucceeded {
		if !f.logs {
			a.tail(ctx, f.client, run)
		}
		a.failures(ctx, f.client, run)
	}
	a.outcome(run)
	a.next(run)
	switch {
	case f.ndjson:
		if err := f.each(ctx); err != nil {
			return err
		}
	case a.wantsJSON():
		if err := a.printGet(ctx, runPath(run.Job, run.ID)); err != nil {
			return err
		}
	case !f.logs:
		a.printRun(run)
	}
	return exitOf(run)
}

// next says on a terminal what one may want to do now.
func (a *app) next(r *ci.Run) {
	switch {
	case r.Outcome != ci.OutcomeSucceeded:
		a.hint("Run it again: ci rerun %s", refOf(r))
	case r.Spec != nil && len(r.Spec.Results) > 0:
		a.hint("What it saved: ci result ls %s", refOf(r))
	}
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
