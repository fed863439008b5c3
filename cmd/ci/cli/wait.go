package cli

import (
	"context"
	"errors"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"ci/pkg/ci"
)

type waitOptions struct {
	*app
	failFast bool
}

func newWait(a *app) *cobra.Command {
	o := &waitOptions{app: a}
	cmd := &cobra.Command{
		Use:     "wait RUN…",
		Aliases: []string{"join"},
		Short:   "Wait until all of several runs are done",
		Long: "Wait until all of the given runs are done, and tell of each as it ends. The exit code is the highest of the runs' exit codes (see `ci help exit-codes`), " +
			"so 0 says that all succeeded. With --fail-fast it ends as soon as one run did not succeed; the others go on.\n\n" +
			pipedColumns(runPiped()) + "\nWith --json each run is a line.",
		Example: "  ci wait unit-test@latest lint@latest\n  ci wait --fail-fast $(ci ls unit-test --branch main --jq '.runs[:2][].id')",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	a.takesRuns(cmd)
	cmd.Flags().BoolVar(&o.failFast, "fail-fast", false, "end with the first run that did not succeed")
	return runDocument(cmd)
}

// waiting is how many runs are waited for at a time. Each holds a request.
const waiting = 60

func (o *waitOptions) run(ctx context.Context, args []string) error {
	_, refs, err := o.openRuns(ctx, args)
	if err != nil {
		return err
	}
	c, err := o.patientClient()
	if err != nil {
		return err
	}
	var mu sync.Mutex // guards worst and the output
	worst := 0
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(waiting)
	for _, ref := range refs {
		group.Go(func() error {
			run, err := c.WaitRun(each, ref.Job, ref.Run, ci.UntilDone)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return o.ended(each, run, &worst)
		})
	}
	err = group.Wait()
	switch {
	case ctx.Err() != nil:
		o.note("The runs go on. Come back with: ci wait %s", joined(refs))
		return &exitError{code: exitDetached}
	case errors.Is(err, errFailFast), err == nil && worst > 0:
		return &exitError{code: worst}
	}
	return err
}

var errFailFast = errors.New("one run did not succeed")

// ended tells of a run's end and keeps the worst exit code.
func (o *waitOptions) ended(ctx context.Context, run *ci.Run, worst *int) error {
	if ctx.Err() != nil {
		return ctx.Err() // another one has ended it all
	}
	o.outcome(run)
	if o.wantsJSON() {
		if err := o.printLine(ctx, runPath(run.Job, run.ID)); err != nil {
			return err
		}
	} else {
		o.printRun(run)
	}
	err := exitOf(run)
	if err == nil {
		return nil
	}
	*worst = max(*worst, exitCode(err))
	if o.failFast {
		return errFailFast
	}
	return nil
}

func joined(refs []ci.RunRef) string {
	s := ""
	for i, r := range refs {
		if i > 0 {
			s += " "
		}
		s += r.String()
	}
	return s
}
