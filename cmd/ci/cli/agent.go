package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newAgent(a *app) *cobra.Command {
	cmd := parent("agent", "See agents, and take them out of service", newAgentList(a), newAgentShow(a), newAgentDrain(a), newAgentUndrain(a))
	cmd.Aliases = []string{"agents"}
	return cmd
}

// agentTTL is how long after its last word an agent is shown as away.
const agentTTL = time.Minute

func (a *app) agentState(g ci.Agent) string {
	switch {
	case !g.Alive(a.Now(), agentTTL):
		return "away"
	case g.Problem != "":
		return "unable"
	case g.Draining:
		return "draining"
	}
	return "ready"
}

func (a *app) agentPiped() []column[ci.Agent] {
	return []column[ci.Agent]{
		{"id", func(g ci.Agent) string { return g.ID }, nil},
		{"state", a.agentState, nil},
		{"runs", func(g ci.Agent) string { return ids(g.Runs) }, nil},
		{"cpus", func(g ci.Agent) string { return fmt.Sprintf("%g", g.CPUs) }, nil},
		{"free cpus", func(g ci.Agent) string { return fmt.Sprintf("%g", g.FreeCPUs) }, nil},
		{"memory", func(g ci.Agent) string { return fmt.Sprint(g.Memory) }, nil},
		{"free memory", func(g ci.Agent) string { return fmt.Sprint(g.FreeMemory) }, nil},
		{"seen", func(g ci.Agent) string { return stamp(g.SeenAt) }, nil},
		{"version", func(g ci.Agent) string { return g.Version }, nil},
		{"note", agentNote, nil},
	}
}

func ids(runs []int64) string {
	all := make([]string, len(runs))
	for i, id := range runs {
		all[i] = fmt.Sprint(id)
	}
	return strings.Join(all, ",")
}

// agentNote says what is not as it should be.
func agentNote(g ci.Agent) string {
	var notes []string
	if g.Problem != "" {
		notes = append(notes, g.Problem)
	}
	for _, class := range sortedKeys(g.Refusals) {
		if reason := g.Refusals[class]; !slices.Contains(notes, reason) {
			notes = append(notes, class+": "+reason)
		}
	}
	if g.Leftovers > 0 {
		notes = append(notes, fmt.Sprintf("%d leftovers of ended runs", g.Leftovers))
	}
	if n := len(g.Warnings); n > 0 {
		notes = append(notes, fmt.Sprintf("its engine does not enforce all (%d warnings: ci agent show %s)", n, clean(g.ID)))
	}
	return strings.Join(notes, "; ")
}

func newAgentList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List agents",
		Long:    "List agents.\n\n" + pipedColumns(a.agentPiped()),
		Example: "  ci agent ls\n  ci agent ls --json id,freeCpus,freeMemory",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.agentList(cmd.Context()) },
	}
	return document(cmd, "agents", agentFields)
}

func (a *app) agentList(ctx context.Context) error {
	if a.wantsJSON() {
		return a.printGet(ctx, "/agents")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	agents, err := c.ListAgents(ctx)
	if err != nil {
		return err
	}
	if len(agents) == 0 && a.OutTTY {
		a.hint("No agents. Runs wait until one is there.")
		return nil
	}
	now := a.Now()
	printTable(a, agents, []column[ci.Agent]{
		{"AGENT", func(g ci.Agent) string { return g.ID }, func(ci.Agent) style { return bold }},
		{"STATE", a.agentState, a.agentStyle},
		{"RUNS", func(g ci.Agent) string { return fmt.Sprint(len(g.Runs)) }, nil},
		{"CPUS FREE", func(g ci.Agent) string { return fmt.Sprintf("%g of %g", g.FreeCPUs, g.CPUs) }, nil},
		{"MEMORY FREE", func(g ci.Agent) string { return ci.Bytes(g.FreeMemory) + " of " + ci.Bytes(g.Memory) }, nil},
		{"LOAD", func(g ci.Agent) string { return fmt.Sprintf("%.0f%%", 100*g.CPULoad) }, nil},
		{"SEEN", func(g ci.Agent) string { return age(now, g.SeenAt) }, nil},
		{"NOTE", agentNote, func(ci.Agent) style { return dim }},
	}, a.agentPiped())
	return nil
}

func (a *app) agentStyle(g ci.Agent) style {
	return map[string]style{"ready": green, "draining": yellow}[a.agentState(g)] // others are plain
}

func newAgentUndrain(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "undrain AGENT", Short: "Let an agent take runs again", Example: "  ci agent undrain builder-3", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.Undrain(cmd.Context(), args[0]); err != nil {
				return err
			}
			a.note("%s takes runs again", clean(args[0]))
			return nil
		},
	}
}
