package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newToken(a *app) *cobra.Command {
	cmd := parent("token", "Manage tokens", newTokenCreate(a), newTokenList(a), newTokenRevoke(a))
	cmd.Aliases = []string{"tokens"}
	return cmd
}

type tokenCreateOptions struct {
	*app
	role    string
	agent   string
	jobs    []string
	expires time.Duration
}

func newTokenCreate(a *app) *cobra.Command {
	o := &tokenCreateOptions{app: a}
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token and print it, this once",
		Long: "Make a token. The token itself goes to standard output, this once and never again; what was recorded of it to standard error.\n" +
			"With --json it is an object: bearer, id, name, role, jobs, agent, expiresAt.\n\n" +
			"A token of role agent lets one ci-agent work with an URL alone, and nothing else.",
		Example: "  ci token create deploy-bot --role trigger --job deploy --expires 720h > token\n" +
			"  ci token create builder-7 --role agent > builder-7.token    # then: ci-agent --url … --token-file builder-7.token",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVar(&o.role, "role", "", "what it may do: admin, maintain, trigger, read or agent")
	cmd.Flags().StringArrayVar(&o.jobs, "job", nil, "limit it to this job; may be repeated")
	cmd.Flags().StringVar(&o.agent, "agent", "", "the agent that a token of role agent speaks for; default is the token's own name")
	cmd.Flags().DurationVar(&o.expires, "expires", 0, "let it end after this time; default is never")
	_ = cmd.MarkFlagRequired("role")
	return cmd
}

func (o *tokenCreateOptions) run(ctx context.Context, name string) error {
	t := ci.Token{Name: name, Role: ci.Role(o.role), Jobs: o.jobs, Agent: o.agent}
	if o.expires != 0 {
		t.ExpiresAt = o.Now().Add(o.expires)
	}
	if err := t.Validate(o.Now()); err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	bearer, made, err := c.CreateToken(ctx, t)
	if err != nil {
		return err
	}
	if o.wantsJSON() {
		return o.printItem(ctx, map[string]any{
			"bearer": bearer, "id": made.ID, "name": made.Name, "role": made.Role, "jobs": made.Jobs, "agent": made.Agent, "expiresAt": stamp(made.ExpiresAt),
		})
	}
	o.note("Token %s (%s), id %s. It is shown this once:", clean(made.Name), clean(string(made.Role)), clean(made.ID))
	fmt.Fprintln(o.Out, clean(bearer))
	return nil
}

func (a *app) tokenPiped() []column[ci.Token] {
	return []column[ci.Token]{
		{"id", func(t ci.Token) string { return t.ID }, nil},
		{"name", func(t ci.Token) string { return t.Name }, nil},
		{"role", func(t ci.Token) string { return string(t.Role) }, nil},
		{"jobs", func(t ci.Token) string { return strings.Join(t.Jobs, ",") }, nil},
		{"state", a.tokenState, nil},
		{"created", func(t ci.Token) string { return stamp(t.CreatedAt) }, nil},
		{"expires", func(t ci.Token) string { return stamp(t.ExpiresAt) }, nil},
		{"agent", func(t ci.Token) string { return t.Agent }, nil},
	}
}

func (a *app) tokenState(t ci.Token) string {
	switch {
	case !t.RevokedAt.IsZero():
		return "revoked"
	case !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(a.Now()):
		return "expired"
	}
	return "valid"
}

func newTokenList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List tokens, oldest first, revoked ones too",
		Long:    "List tokens, oldest first, revoked ones too.\n\n" + pipedColumns(a.tokenPiped()),
		Example: "  ci token ls",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.tokenList(cmd.Context()) },
	}
	return document(cmd, "tokens", tokenFields)
}

func (a *app) tokenList(ctx context.Context) error {
	if a.wantsJSON() {
		return a.printList(ctx, "/tokens", "tokens")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	tokens, err := collect(c.ListTokens(ctx))
	if err != nil {
		return err
	}
	now := a.Now()
	printTable(a, tokens, []column[ci.Token]{
		{"TOKEN", func(t ci.Token) string { return t.Name }, func(ci.Token) style { return bold }},
		{"ROLE", func(t ci.Token) string { return string(t.Role) }, nil},
		{"STATE", a.tokenState, nil},
		{"CREATED", func(t ci.Token) string { return age(now, t.CreatedAt) }, nil},
		{"EXPIRES", func(t ci.Token) string { return age(now, t.ExpiresAt) }, nil},
		{"ID", func(t ci.Token) string { return t.ID }, nil},
		{"JOBS", func(t ci.Token) string { return strings.Join(t.Jobs, ",") }, nil},
		{"AGENT", func(t ci.Token) string { return t.Agent }, nil},
	}, a.tokenPiped())
	return nil
}

func newTokenRevoke(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID|NAME", Aliases: []string{"rm", "delete"}, Short: "Revoke a token for good", Example: "  ci token revoke deploy-bot", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.tokenRevoke(cmd.Context(), args[0]) },
	}
}

// tokenRevoke revokes by id, or by the name of a living token.
func (a *app) tokenRevoke(ctx context.Context, which string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	id := which
	for t, err := range c.ListTokens(ctx) {
		if err != nil {
			return err
		}
		if t.Name == which && t.RevokedAt.IsZero() {
			id = t.ID
		}
	}
	if err := c.RevokeToken(ctx, id); err != nil {
		return err
	}
	a.note("%s is revoked; within two seconds it opens nothing any more", clean(which))
	return nil
}
