package cli

import (
	"context"
	"maps"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type rerunOptions struct {
	*app
	followOptions
	parameters []string
	newest     bool
}

func newRerun(a *app) *cobra.Command {
	o := &rerunOptions{app: a}
	cmd := &cobra.Command{
		Use:     "rerun RUN",
		Aliases: []string{"retry", "again"},
		Short:   "Trigger a run with the commit and parameters of an earlier one",
		Long: "Trigger a new run of the same job, with the commit, parameters and priority of an earlier one. The earlier run stays as it is.\n\n" +
			"A run of a commit does not know a branch; --newest takes the newest commit of the earlier run's branch instead. " +
			"It stays with the run as `ci run` does.\n\n" + pipedColumns(runPiped()),
		Example: "  ci rerun unit-test@latest --wait\n  ci rerun unit-test@main --newest --detach\n  ci rerun deploy@latest -p STAGE=test --logs",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	a.takesRun(cmd, 0)
	cmd.Flags().StringArrayVarP(&o.parameters, "param", "p", nil, "give a parameter another value: `NAME=VALUE`; may be repeated")
	cmd.Flags().BoolVar(&o.newest, "newest", false, "take the newest commit of the run's branch instead of its commit")
	o.addTriggerFlags(cmd)
	return runDocument(cmd)
}

func (o *rerunOptions) run(ctx context.Context, args []string) error {
	if err := o.check(o.app); err != nil {
		return err
	}
	values, err := parameters(o.parameters)
	if err != nil {
		return err
	}
	c, ref, _, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	earlier, err := c.GetRun(ctx, ref.Job, ref.Run)
	if err != nil {
		return err
	}
	t, err := again(earlier, o.newest)
	if err != nil {
		return err
	}
	maps.Copy(t.Parameters, values)
	return o.start(ctx, c, t, o.followOptions)
}

// again is the trigger that repeats a run.
func again(r *ci.Run, newest bool) (ci.Trigger, error) {
	t := ci.Trigger{Job: r.Job, CommitSHA: r.CommitSHA, Parameters: map[string]string{}, Priority: r.Priority}
	maps.Copy(t.Parameters, r.Parameters)
	if newest && r.BranchName == "" {
		return t, usagef("%s was not a run of a branch, so there is no newest commit; leave --newest out", refOf(r))
	}
	if newest || t.CommitSHA == "" { // a run that ended before its commit was known has its branch only
		t.CommitSHA, t.BranchName = "", r.BranchName
	}
	return t, nil
}
