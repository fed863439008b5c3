package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newAgentShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show AGENT", Short: "Show one agent, and what its engine can't enforce",
		Long:    "Show one agent: what it offers and holds, why it takes no runs, and which of the walls around jobs its engine does not have.",
		Example: "  ci agent show builder-3",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.agentShow(cmd.Context(), args[0]) },
	}
	return document(cmd, "", agentFields)
}

func (a *app) agentShow(ctx context.Context, id string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	agents, err := c.ListAgents(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(agents, func(g ci.Agent) bool { return g.ID == id })
	if i < 0 {
		return ci.Errorf(ci.CodeNotFound, "there is no agent %q; `ci agent ls` lists all", id)
	}
	g := agents[i]
	if a.wantsJSON() {
		return a.agentDocument(ctx, id)
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(a.Out, "%-9s %s\n", name, clean(value))
		}
	}
	line("agent", g.ID)
	line("state", a.agentState(g))
	line("version", g.Version)
	line("seen", stamp(g.SeenAt))
	line("runs", ids(g.Runs))
	line("cpus", fmt.Sprintf("%g of %g free, load %.0f%%", g.FreeCPUs, g.CPUs, 100*g.CPULoad))
	line("memory", ci.Bytes(g.FreeMemory)+" of "+ci.Bytes(g.Memory)+" free")
	line("problem", g.Problem)
	if d, err := c.GetDrain(ctx, id); err == nil {
		line("drain", drainLine(d, a.Now()))
	}
	for _, class := range sortedKeys(g.Refusals) {
		line("refuses", class+": "+strings.TrimPrefix(g.Refusals[class], class+": "))
	}
	for _, w := range g.Warnings {
		line("warning", w)
	}
	return nil
}

// agentDocument prints the server's JSON of one agent.
func (a *app) agentDocument(ctx context.Context, id string) error {
	r, err := a.rest()
	if err != nil {
		return err
	}
	doc, err := r.document(ctx, http.MethodGet, "/agents", nil)
	if err != nil {
		return err
	}
	var all struct {
		Agents []json.RawMessage `json:"agents"`
	}
	if err := json.Unmarshal(doc, &all); err != nil {
		return fmt.Errorf("the list of agents: %w", err)
	}
	for _, one := range all.Agents {
		var named struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(one, &named) == nil && named.ID == id {
			return a.printJSON(ctx, one)
		}
	}
	return ci.Errorf(ci.CodeNotFound, "there is no agent %q any more", id)
}
