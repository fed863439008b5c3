package cli

import (
	"context"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	ghapp "ci/gh/app"
	"ci/pkg/ci"
)

func newForge(a *app) *cobra.Command {
	cmd := parent("forge", "Manage the forges whose events trigger runs", newForgeSetup(a), newForgeList(a))
	cmd.Aliases = []string{"forges"}
	return cmd
}

type forgeSetupOptions struct {
	*app
	name, web, api, organisation, appName, public string
}

const forgeSetupHelp = `Register a GitHub App with a browser, and keep its keys in the server.

A page on this machine sends the browser to GitHub, which asks you to confirm; the keys of the new App go from GitHub to this program and from here to
the server, where they are sealed. Nothing but the server's /hooks/ has to be reachable from GitHub. Afterwards install the App for your repositories.
An App that exists already is set by PUT /forges/NAME (ci api).`

func newForgeSetup(a *app) *cobra.Command {
	o := &forgeSetupOptions{app: a}
	cmd := &cobra.Command{
		Use:     "setup",
		Short:   "Register a GitHub App with a browser",
		Long:    forgeSetupHelp,
		Example: "  ci forge setup --app my-ci --organisation my-org",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "github", "what the forge is called here")
	f.StringVar(&o.web, "github", "https://github.com", "GitHub's address; an Enterprise Server's is its own")
	f.StringVar(&o.api, "api", "", "the address of its REST API, if it is not at the usual place")
	f.StringVar(&o.organisation, "organisation", "", "whose App it will be; yours without it")
	f.StringVar(&o.appName, "app", "", "the App's name, which must be new in all of GitHub")
	f.StringVar(&o.public, "public", "", "where GitHub reaches the server, if not at the address that you use")
	_ = cmd.MarkFlagRequired("app")
	return cmd
}

func (o *forgeSetupOptions) run(ctx context.Context) error {
	e, err := o.endpoint()
	if err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	if err := o.mayManage(ctx, newREST(e, o.userAgent())); err != nil {
		return err
	}
	if o.public == "" {
		o.public = e.URL
	}
	forge := ci.Forge{Name: o.name, Kind: ci.ForgeGitHub, URL: strings.TrimRight(o.web, "/"), API: o.api}
	public := strings.TrimRight(o.public, "/")
	r := ghapp.Registration{
		Setup: ghapp.Setup{Name: o.appName, URL: public, Hook: public + "/hooks/" + o.name}, Web: forge.URL, API: forge.APIURL(), Organisation: o.organisation,
		Show: func(url string) { o.note("Open this page in a browser on this machine:\n\n  %s\n", url) },
	}
	made, err := r.Run(ctx)
	if err != nil {
		return err
	}
	made.Name, made.API = o.name, o.api
	stored, _, err := c.PutForge(ctx, made, 0)
	if err != nil {
		return err
	}
	o.note("The App %s is set up as forge %s. Install it for your repositories:\n\n  %s\n", clean(stored.Slug), clean(stored.Name), clean(ghapp.InstallURL(&stored)))
	return nil
}

// mayManage asks before there is an App: the keys of one that the server then
// refuses would be lost, for GitHub shows them once.
func (o *forgeSetupOptions) mayManage(ctx context.Context, r *rest) error {
	var who caller
	if _, err := r.ask(ctx, http.MethodGet, "/whoami", nil, &who); err != nil {
		return err
	}
	if who.Role != string(ci.RoleAdmin) {
		return ci.Errorf(ci.CodeForbidden, "the token %s has the role %s, and only the role admin may set up forges; no App was made", who.Name, who.Role)
	}
	return nil
}

func forgePiped() []column[ci.Forge] {
	return []column[ci.Forge]{
		{"name", func(f ci.Forge) string { return f.Name }, nil},
		{"kind", func(f ci.Forge) string { return string(f.Kind) }, nil},
		{"url", func(f ci.Forge) string { return f.URL }, nil},
		{"app", func(f ci.Forge) string { return f.Slug }, nil},
		{"updated", func(f ci.Forge) string { return stamp(f.UpdatedAt) }, nil},
	}
}

func newForgeList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List forges by name, never what opens them",
		Long:    "List forges by name. Their keys are never shown.\n\n" + pipedColumns(forgePiped()),
		Example: "  ci forge ls",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.forgeList(cmd.Context()) },
	}
	return document(cmd, "forges", forgeFields)
}

func (a *app) forgeList(ctx context.Context) error {
	if a.wantsJSON() {
		return a.printGet(ctx, "/forges") // it has no pages
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	list, err := c.ListForges(ctx)
	if err != nil {
		return err
	}
	now := a.Now()
	printTable(a, list, []column[ci.Forge]{
		{"FORGE", func(f ci.Forge) string { return f.Name }, func(ci.Forge) style { return bold }},
		{"KIND", func(f ci.Forge) string { return string(f.Kind) }, nil},
		{"URL", func(f ci.Forge) string { return f.URL }, nil},
		{"APP", func(f ci.Forge) string { return f.Slug }, nil},
		{"UPDATED", func(f ci.Forge) string { return age(now, f.UpdatedAt) }, nil},
	}, forgePiped())
	return nil
}
