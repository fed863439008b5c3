package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

// latest stands for the newest run of a job.
const latest = "@latest"

// runRef names one run as the user typed it.
type runRef struct {
	job string
	id  int64 // 0 is the latest
}

// runArgs wants JOB RUN or JOB/RUN, and up to more arguments after it.
func runArgs(more int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		_, rest, err := parseRef(args)
		if err == nil && len(rest) > more {
			err = usagef("%q is one argument too many", rest[more])
		}
		return err
	}
}

// parseRef reads "JOB RUN" or "JOB/RUN" and returns what follows.
func parseRef(args []string) (runRef, []string, error) {
	if len(args) == 0 {
		return runRef{}, nil, usagef("which run? Give JOB RUN or JOB/RUN; RUN is an id or %s", latest)
	}
	job, run, joined := strings.Cut(args[0], "/")
	rest := args[1:]
	if !joined {
		if len(rest) == 0 {
			return runRef{}, nil, usagef("which run of %s? Give its id, or %s for the newest", job, latest)
		}
		run, rest = rest[0], rest[1:]
	}
	if err := ci.ValidateName(job); err != nil {
		return runRef{}, nil, usagef("%q is not a job's name", job)
	}
	if run == latest {
		return runRef{job: job}, rest, nil
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(run, "#"), 10, 32)
	if err != nil || id <= 0 {
		return runRef{}, nil, usagef("%q is not a run's id; expected a number or %s", run, latest)
	}
	return runRef{job, id}, rest, nil
}

// resolve finds the id of the latest run.
func (r runRef) resolve(ctx context.Context, c Client) (runRef, error) {
	if r.id != 0 {
		return r, nil
	}
	for run, err := range c.ListRuns(ctx, ci.RunFilter{Job: r.job}) {
		return runRef{r.job, run.ID}, err
	}
	return r, ci.Errorf(ci.CodeNotFound, "job %s has no runs yet; `ci run %s` starts one", r.job, r.job)
}

// openRun parses args, opens the API and resolves the run.
func (a *app) openRun(ctx context.Context, args []string) (Client, runRef, error) {
	ref, _, err := parseRef(args)
	if err != nil {
		return nil, ref, err
	}
	c, err := a.client()
	if err != nil {
		return nil, ref, err
	}
	ref, err = ref.resolve(ctx, c)
	return c, ref, err
}

// String is how a run is called in sentences and commands.
func (r runRef) String() string { return r.job + "/" + strconv.FormatInt(r.id, 10) }

func refOf(r *ci.Run) runRef { return runRef{r.Job, r.ID} }
