package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func newContext(a *app) *cobra.Command {
	cmd := parent("context", "Choose between stored servers", newContextList(a), newContextUse(a), newContextRemove(a))
	cmd.Aliases = []string{"contexts"}
	return cmd
}

// contextRow is a context without its token.
type contextRow struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Current bool   `json:"current"`
}

func contextPiped() []column[contextRow] {
	return []column[contextRow]{
		{"name", func(c contextRow) string { return c.Name }, nil},
		{"url", func(c contextRow) string { return c.URL }, nil},
		{"current", func(c contextRow) string { return mark(c.Current, "current") }, nil},
	}
}

func mark(on bool, s string) string {
	if on {
		return s
	}
	return ""
}

func newContextList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List contexts; tokens are not shown",
		Long:    "List contexts; tokens are not shown.\n\n" + pipedColumns(contextPiped()),
		Example: "  ci context ls",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.contextList(cmd.Context()) },
	}
	return document(cmd, "contexts", contextFields)
}

func (a *app) contextList(ctx context.Context) error {
	stored, err := a.loadContexts()
	if err != nil {
		return err
	}
	rows := []contextRow{}
	for _, n := range stored.names() {
		rows = append(rows, contextRow{n, stored.Contexts[n].URL, n == stored.Current})
	}
	if a.wantsJSON() {
		return a.printItem(ctx, map[string]any{"contexts": rows})
	}
	if len(rows) == 0 && a.OutTTY {
		a.hint("No contexts. Make one with: ci login URL")
		return nil
	}
	printTable(a, rows, []column[contextRow]{
		{"", func(c contextRow) string { return mark(c.Current, "*") }, func(contextRow) style { return green }},
		{"CONTEXT", func(c contextRow) string { return c.Name }, func(contextRow) style { return bold }},
		{"URL", func(c contextRow) string { return c.URL }, nil},
	}, contextPiped())
	return nil
}

func newContextUse(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "use CONTEXT", Short: "Make a context the current one", Example: "  ci context use work", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.changeContexts(args[0], func(c *contexts) { c.Current = args[0] }, "is the current context")
		},
	}
}

func newContextRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm CONTEXT", Aliases: []string{"remove", "delete"}, Short: "Forget a context and its token", Example: "  ci context rm work", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.changeContexts(args[0], func(c *contexts) {
				delete(c.Contexts, args[0])
				if c.Current == args[0] {
					c.Current = ""
				}
			}, "is forgotten")
		},
	}
}

// changeContexts changes the stored contexts, of which name must be one.
func (a *app) changeContexts(name string, change func(*contexts), done string) error {
	stored, err := a.loadContexts()
	if err != nil {
		return err
	}
	if _, ok := stored.Contexts[name]; !ok {
		return usagef("there is no context %q; %s", name, stored.known())
	}
	change(stored)
	if err := a.saveContexts(stored); err != nil {
		return err
	}
	a.note("%s %s", clean(name), done)
	return nil
}
