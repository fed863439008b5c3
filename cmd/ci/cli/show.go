package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show RUN",
		Aliases: []string{"view", "get"},
		Short:   "Show one run",
		Long:    "Show one run. In a pipe each line is a name, a tab and a value.",
		Example: "  ci show unit-test@latest\n  ci show --commit HEAD --jq .outcome\n  ci show unit-test@main --json id,outcome,reason",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.show(cmd.Context(), args)
		},
	}
	return runDocument(a.takesRun(cmd, 0))
}

func (a *app) show(ctx context.Context, args []string) error {
	c, ref, _, err := a.openRun(ctx, args)
	if err != nil {
		return err
	}
	if a.wantsJSON() {
		return a.printGet(ctx, runPath(ref.Job, ref.Run))
	}
	run, err := c.GetRun(ctx, ref.Job, ref.Run)
	if err != nil {
		return err
	}
	results, err := c.Results(ctx, ref.Job, ref.Run)
	if err != nil {
		return err
	}
	children, err := childrenOf(ctx, c, run)
	if err != nil {
		return err
	}
	a.printPairs(append(a.runPairs(run, results), children...))
	return nil
}

// maxChildren is how many of a run's children are shown; ls --parent shows all.
const maxChildren = 20

// childrenOf lists the runs that a run's script triggered, newest first.
func childrenOf(ctx context.Context, c Client, r *ci.Run) ([]pair, error) {
	if r.Spec == nil || !r.Spec.CI {
		return nil, nil
	}
	var pairs []pair
	for child, err := range c.ListRuns(ctx, ci.RunFilter{Parent: r.ID}) {
		if err != nil {
			return nil, err
		}
		if len(pairs) == maxChildren {
			return append(pairs, pair{"child", "… ci ls --parent " + refOf(r).String() + " lists all"}), nil
		}
		pairs = append(pairs, pair{"child", refOf(&child).String() + " " + state(&child)})
	}
	return pairs, nil
}

func parentOf(r *ci.Run) string {
	if r.Parent == nil {
		return ""
	}
	return r.Parent.String()
}

func traceOf(r *ci.Run) string {
	if r.Trace == nil {
		return ""
	}
	return r.Trace.ID
}

func (a *app) runPairs(r *ci.Run, results []ci.Result) []pair {
	pairs := []pair{
		{"run", refOf(r).String()},
		{"state", state(r)},
		{"reason", r.Reason},
		{"exit code", exitStatus(r)},
		{"branch", r.BranchName},
		{"commit", r.CommitSHA},
		{"priority", string(r.Priority)},
		{"class", r.Class},
		{"agent", r.Agent},
		{"triggered by", r.TriggeredBy},
		{"parent", parentOf(r)},
		{"trace", traceOf(r)},
		{"triggered", a.when(r)},
		{"queued", stamp(r.Times.Queued)},
		{"claimed", stamp(r.Times.Claimed)},
		{"started", stamp(r.Times.Started)},
		{"collecting", stamp(r.Times.Collecting)},
		{"done", stamp(r.Times.Done)},
		{"abort requested", stamp(r.AbortRequestedAt)},
		{"output", ci.Bytes(r.Console.Bytes) + wentAt(r.ConsoleExpiredAt)},
		{"took", tookText(r, a.Now())},
	}
	for _, name := range sortedKeys(r.Parameters) {
		pairs = append(pairs, pair{"parameter " + clean(name), r.Parameters[name]})
	}
	for _, s := range results {
		pairs = append(pairs, pair{"result " + clean(s.Name), fmt.Sprintf("%s, %s%s", ci.Bytes(s.Size), s.ContentType, wentAt(s.ExpiredAt))})
	}
	return pairs
}

func (a *app) when(r *ci.Run) string {
	if !a.OutTTY {
		return stamp(r.Times.Triggered)
	}
	return stamp(r.Times.Triggered) + ", " + age(a.Now(), r.Times.Triggered)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// wentAt says that something is kept no longer, behind what it was.
func wentAt(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return ", kept no longer since " + stamp(at)
}
