package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newRegistry(a *app) *cobra.Command {
	cmd := parent("registry", "Manage the accounts that images are pulled with", newRegistrySet(a), newRegistryList(a), newRegistryRemove(a))
	cmd.Aliases = []string{"registries"}
	return cmd
}

type registrySetOptions struct {
	*app
	username, file string
}

func newRegistrySet(a *app) *cobra.Command {
	o := &registrySetOptions{app: a}
	cmd := &cobra.Command{
		Use:   "set HOST --username NAME",
		Short: "Set the account at an image registry",
		Long: "Set the account that agents pull a registry's images with. The password or token is read from standard input or a file " +
			"(one line end at its end is dropped), or asked for on a terminal without showing it; it is never an argument, and nothing shows it again.",
		Example: "  ci registry set registry.example.com:5000 --username ci < password",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVarP(&o.username, "username", "u", "", "the account")
	cmd.Flags().StringVar(&o.file, "from-file", "", "take the password from this file")
	_ = cmd.MarkFlagRequired("username")
	return cmd
}

func (o *registrySetOptions) run(ctx context.Context, host string) error {
	password, err := o.readConfidential("Password of "+o.username, o.file, ci.MaxSecret)
	if err != nil {
		return err
	}
	access := ci.RegistryAccess{Host: host, Username: o.username, Password: strings.TrimSuffix(strings.TrimSuffix(password, "\n"), "\r")}
	if err := access.Validate(); err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	made, err := c.PutRegistry(ctx, access)
	if err != nil {
		return err
	}
	o.note("Images of %s are pulled as %s.", clean(made.Host), clean(made.Username))
	return nil
}

func registryPiped() []column[ci.Registry] {
	return []column[ci.Registry]{
		{"host", func(r ci.Registry) string { return r.Host }, nil},
		{"username", func(r ci.Registry) string { return r.Username }, nil},
		{"updated", func(r ci.Registry) string { return stamp(r.UpdatedAt) }, nil},
		{"by", func(r ci.Registry) string { return r.UpdatedBy }, nil},
	}
}

func newRegistryList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List accounts by host, never their passwords",
		Long:    "List accounts by host. Their passwords are never shown.\n\n" + pipedColumns(registryPiped()),
		Example: "  ci registry ls",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.registryList(cmd.Context()) },
	}
	return document(cmd, "registries", registryFields)
}

func (a *app) registryList(ctx context.Context) error {
	if a.wantsJSON() {
		return a.printGet(ctx, "/registries")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	list, err := c.ListRegistries(ctx)
	if err != nil {
		return err
	}
	now := a.Now()
	printTable(a, list, []column[ci.Registry]{
		{"REGISTRY", func(r ci.Registry) string { return r.Host }, func(ci.Registry) style { return bold }},
		{"USERNAME", func(r ci.Registry) string { return r.Username }, nil},
		{"UPDATED", func(r ci.Registry) string { return age(now, r.UpdatedAt) }, nil},
		{"BY", func(r ci.Registry) string { return r.UpdatedBy }, nil},
	}, registryPiped())
	return nil
}

func newRegistryRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm HOST", Aliases: []string{"remove", "delete"}, Short: "Delete the account at a registry", Example: "  ci registry rm registry.example.com:5000", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.registryRemove(cmd.Context(), args[0]) },
	}
}

func (a *app) registryRemove(ctx context.Context, host string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if err := c.DeleteRegistry(ctx, host); err != nil {
		return err
	}
	a.note("The account at %s is deleted.", clean(host))
	return nil
}
