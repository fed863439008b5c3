package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

var planFields = []string{"runs", "results", "console", "kept", "items", "more"}

// planItems is how many items are listed at the most.
const planItems = 10_000

func planPiped() []column[ci.Expiry] {
	return []column[ci.Expiry]{
		{"run", func(x ci.Expiry) string { return x.RunRef.String() }, nil},
		{"what goes", func(x ci.Expiry) string { return string(x.What) }, nil},
		{"bytes", func(x ci.Expiry) string { return strconv.FormatInt(x.Bytes, 10) }, nil},
		{"end of the run", func(x ci.Expiry) string { return stamp(x.Done) }, nil},
		{"reason", func(x ci.Expiry) string { return x.Reason }, nil},
		{"why it stays all the same", func(x ci.Expiry) string { return x.Kept }, nil},
	}
}

func newRetention(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retention [JOB]",
		Short: "Say what is kept no longer and would go now, and why",
		Long: "Say what is kept no longer and would go now, of all jobs or of one, and why. Nothing is removed by this: the server does it by itself, every minute.\n" +
			"What `ci config set … --dry-run` says is the same for limits that are not set yet.\n\n" +
			"What to set: keep.* of `ci config set` is what each job keeps, `ci job apply --keep` what one job keeps instead;\n" +
			"retention and keepTotal.* are the bounds for all. `ci pin add` keeps one run whatever the limits say.\n\n" + pipedColumns(planPiped()),
		Example: "  ci retention\n  ci retention unit-test --jq .console.bytes",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			job := ""
			if len(args) > 0 {
				job = args[0]
			}
			return a.retention(cmd.Context(), nil, job)
		},
	}
	return document(cmd, "", planFields)
}

// retention prints what would go by a configuration; nil is the present one.
func (a *app) retention(ctx context.Context, config *ci.Config, job string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	plan, err := c.PlanRetention(ctx, config, job, planItems)
	if err != nil {
		return err
	}
	if a.wantsJSON() {
		return a.printItem(ctx, planDocument(plan))
	}
	a.printPlan(plan)
	return nil
}

func (a *app) printPlan(p *ci.RetentionPlan) {
	now := a.Now()
	if len(p.Items) > 0 || !a.OutTTY {
		printTable(a, p.Items, []column[ci.Expiry]{
			{"RUN", func(x ci.Expiry) string { return x.RunRef.String() }, func(ci.Expiry) style { return bold }},
			{"WHAT", func(x ci.Expiry) string {
				if x.Kept != "" {
					return "stays"
				}
				return string(x.What)
			}, nil},
			{"SIZE", func(x ci.Expiry) string { return ci.Bytes(x.Bytes) }, nil},
			{"ENDED", func(x ci.Expiry) string { return age(now, x.Done) }, nil},
			{"WHY", func(x ci.Expiry) string {
				if x.Kept != "" {
					return x.Kept
				}
				return x.Reason
			}, func(ci.Expiry) style { return dim }},
		}, planPiped())
	}
	a.note("%s", planText(p))
}

// planText sums a plan up.
func planText(p *ci.RetentionPlan) string {
	if p.Runs.Count+p.Results.Count+p.Console.Count+p.Kept.Count == 0 {
		return "Nothing would go."
	}
	text := fmt.Sprintf("%d runs (%s), results of %d more (%s) and consoles of %d more (%s) would go", p.Runs.Count, ci.Bytes(p.Runs.Bytes),
		p.Results.Count, ci.Bytes(p.Results.Bytes), p.Console.Count, ci.Bytes(p.Console.Bytes))
	if p.Kept.Count > 0 {
		text += fmt.Sprintf("; %d (%s) stay all the same", p.Kept.Count, ci.Bytes(p.Kept.Bytes))
	}
	if p.More {
		text += "; there is more than was looked at"
	}
	return text + "."
}

// planDocument is a plan in the form of the API.
func planDocument(p *ci.RetentionPlan) map[string]any {
	amount := func(a ci.Amount) map[string]any { return map[string]any{"count": a.Count, "bytes": a.Bytes} }
	items := make([]map[string]any, len(p.Items))
	for i, x := range p.Items {
		items[i] = map[string]any{"job": x.Job, "run": x.Run, "what": x.What, "bytes": x.Bytes, "done": stamp(x.Done), "reason": x.Reason, "kept": x.Kept}
	}
	return map[string]any{"runs": amount(p.Runs), "results": amount(p.Results), "console": amount(p.Console), "kept": amount(p.Kept), "items": items, "more": p.More}
}
