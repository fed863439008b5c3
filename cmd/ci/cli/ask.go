package cli

import (
	"context"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

// mayAsk says whether somebody is there who can choose what an argument did not say.
func (a *app) mayAsk() bool {
	return a.InTTY && a.ErrTTY && !a.noInput && a.Env("CI_NO_INPUT") == "" && a.Env("TERM") != "dumb" && a.Pick != nil
}

// jobArg wants one job, which may be missing where somebody can be asked.
func (a *app) jobArg() cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && a.mayAsk() {
			return nil
		}
		return cobra.ExactArgs(1)(cmd, args)
	}
}

// jobOf is the job that args name, or that somebody picks.
func (a *app) jobOf(ctx context.Context, c Client, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	jobs, err := collect(c.ListJobs(ctx))
	if err != nil {
		return "", err
	}
	labels := make([]string, len(jobs))
	for i := range jobs {
		labels[i] = clean(jobs[i].Name)
	}
	i, err := a.choose("Which job?", labels, "There are no jobs; make one with: ci job apply --help")
	if err != nil {
		return "", err
	}
	return jobs[i].Name, nil
}

// offered is how many runs somebody can pick from.
const offered = 100

// pickRun lets somebody choose among the newest runs, of a job when args name one.
func (a *app) pickRun(ctx context.Context, c Client, args []string) (ci.RunRef, error) {
	var f ci.RunFilter
	if len(args) > 0 {
		f.Job = args[0]
	}
	var runs []ci.Run
	for r, err := range c.ListRuns(ctx, f) {
		if err != nil {
			return ci.RunRef{}, err
		}
		if runs = append(runs, r); len(runs) == offered {
			break
		}
	}
	i, err := a.choose("Which run?", a.runLabels(runs), "There are no runs yet.")
	if err != nil {
		return ci.RunRef{}, err
	}
	return refOf(&runs[i]), nil
}

// choose asks for one of labels; none says that there is nothing to choose from.
func (a *app) choose(title string, labels []string, none string) (int, error) {
	if len(labels) == 0 {
		return 0, ci.Errorf(ci.CodeNotFound, "%s", none)
	}
	i, err := a.Pick(title, labels)
	if err == nil && i < 0 {
		err = usagef("nothing was chosen")
	}
	return i, err
}
