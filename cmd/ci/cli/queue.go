package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newQueue(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "queue [RUN]",
		Aliases: []string{"why", "queues"},
		Short:   "Show how many runs wait, or why one does",
		Long: "Show how many runs wait in each lane, or with RUN why that run waits: what each agent says about it.\n\n" +
			pipedColumns(lanePiped()) + "\n" + "With RUN: agent, eligible or refuses, reason; after a line that begins with *, with position and reason of the run.",
		Example: "  ci queue\n  ci queue unit-test@latest",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && a.commit == "" {
				return a.lanes(cmd.Context())
			}
			return a.why(cmd.Context(), args)
		},
	}
	a.takesRun(cmd, 0)
	one := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && a.commit == "" {
			return nil
		}
		return one(cmd, args)
	}
	return document(cmd, "queues", queueFields)
}

func lanePiped() []column[ci.QueueDepth] {
	return []column[ci.QueueDepth]{
		{"class", func(d ci.QueueDepth) string { return d.Lane.Class }, nil},
		{"priority", func(d ci.QueueDepth) string { return string(d.Lane.Priority) }, nil},
		{"queued", func(d ci.QueueDepth) string { return fmt.Sprint(d.Queued) }, nil},
		{"oldest", func(d ci.QueueDepth) string { return stamp(d.Oldest) }, nil},
	}
}

func (a *app) lanes(ctx context.Context) error {
	if a.wantsJSON() {
		return a.printGet(ctx, "/queues")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	depths, err := c.Queues(ctx)
	if err != nil {
		return err
	}
	now := a.Now()
	printTable(a, depths, []column[ci.QueueDepth]{
		{"CLASS", func(d ci.QueueDepth) string { return d.Lane.Class }, func(ci.QueueDepth) style { return bold }},
		{"PRIORITY", func(d ci.QueueDepth) string { return string(d.Lane.Priority) }, nil},
		{"QUEUED", func(d ci.QueueDepth) string { return fmt.Sprint(d.Queued) }, nil},
		{"OLDEST", func(d ci.QueueDepth) string { return age(now, d.Oldest) }, nil},
	}, lanePiped())
	return nil
}

func (a *app) why(ctx context.Context, args []string) error {
	c, ref, _, err := a.openRun(ctx, args)
	if err != nil {
		return err
	}
	if a.wantsJSON() {
		return a.printGet(ctx, runPath(ref.Job, ref.Run)+"/queue")
	}
	q, err := c.Explain(ctx, ref.Job, ref.Run)
	if err != nil {
		return err
	}
	if a.OutTTY {
		fmt.Fprintf(a.Out, "%s %s\n", a.outStyle(bold, ref.String()), clean(q.Reason))
		if q.Phase == ci.PhaseQueued {
			fmt.Fprintf(a.Out, "%d ahead of it in class %s, priority %s\n", q.Position, clean(q.Class), clean(string(q.Priority)))
		}
	} else {
		fmt.Fprintf(a.Out, "*\t%d\t%s\n", q.Position, clean(q.Reason))
	}
	if len(q.Agents) == 0 {
		return nil
	}
	verdict := func(v ci.AgentVerdict) string {
		if v.Eligible {
			return "eligible"
		}
		return "refuses"
	}
	agent := func(v ci.AgentVerdict) string { return v.Agent }
	reason := func(v ci.AgentVerdict) string { return v.Reason }
	printTable(a, q.Agents,
		[]column[ci.AgentVerdict]{{"AGENT", agent, nil}, {"VERDICT", verdict, nil}, {"REASON", reason, nil}},
		[]column[ci.AgentVerdict]{{"agent", agent, nil}, {"verdict", verdict, nil}, {"reason", reason, nil}})
	return nil
}
