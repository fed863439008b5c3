package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newSSHKey(a *app) *cobra.Command {
	cmd := parent("ssh-key", "Manage the SSH keys that repositories are reached with", newSSHKeyCreate(a), newSSHKeyList(a), newSSHKeyShow(a), newSSHKeyRemove(a), newSSHHosts(a))
	cmd.Aliases = []string{"ssh-keys"}
	cmd.Long = "Manage the SSH keys that repositories are reached with.\n\n" +
		"The server makes each pair and never shows the private key. A job names a key in git.sshKey; its checkout, and with ssh: true its script, log in by it, " +
		"and only at hosts whose keys are pinned with `ci ssh-key hosts`."
	return cmd
}

func newSSHKeyCreate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a key pair and print its public key",
		Long: "Make a key pair and print its public key, a line for authorized_keys or for the deploy keys of a repository. " +
			"When there is one of that name already, it is left as it is and printed.",
		Example: "  ci ssh-key create deploy",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.sshKeyCreate(cmd.Context(), args[0]) },
	}
	return document(cmd, "", sshKeyFields)
}

func (a *app) sshKeyCreate(ctx context.Context, name string) error {
	if err := ci.ValidateName(name); err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	key, err := c.GetSSHKey(ctx, name)
	switch {
	case err == nil:
		a.note("SSH key %s is there already.", clean(name))
	case ci.CodeOf(err) != ci.CodeNotFound:
		return err
	default:
		if key, _, err = c.PutSSHKey(ctx, name, nil, 0); err != nil {
			return err
		}
	}
	if a.wantsJSON() {
		return a.printGet(ctx, at("ssh-keys", name))
	}
	a.note("Give this public key to the repository's server, then pin its host key: ci ssh-key hosts scan %s HOST", clean(name))
	fmt.Fprintln(a.Out, clean(key.PublicKey))
	return nil
}

func sshKeyPiped() []column[ci.SSHKey] {
	return []column[ci.SSHKey]{
		{"name", func(k ci.SSHKey) string { return k.Name }, nil},
		{"fingerprint", func(k ci.SSHKey) string { return k.Fingerprint }, nil},
		{"hosts", hostNames, nil},
		{"created", func(k ci.SSHKey) string { return stamp(k.CreatedAt) }, nil},
	}
}

// hostNames are a key's hosts, each once.
func hostNames(k ci.SSHKey) string {
	var names []string
	seen := map[string]bool{}
	for _, h := range k.Hosts {
		if !seen[h.Host] {
			seen[h.Host] = true
			names = append(names, h.Host)
		}
	}
	return strings.Join(names, ",")
}

func newSSHKeyList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List SSH keys by name",
		Long:    "List SSH keys by name.\n\n" + pipedColumns(sshKeyPiped()),
		Example: "  ci ssh-key ls",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.sshKeyList(cmd.Context()) },
	}
	return document(cmd, "keys", sshKeyFields)
}

func (a *app) sshKeyList(ctx context.Context) error {
	if a.wantsJSON() {
		return a.printGet(ctx, "/ssh-keys")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	keys, err := c.ListSSHKeys(ctx)
	if err != nil {
		return err
	}
	if len(keys) == 0 && a.OutTTY {
		a.hint("No SSH keys. Make one with: ci ssh-key create NAME")
		return nil
	}
	now := a.Now()
	printTable(a, keys, []column[ci.SSHKey]{
		{"KEY", func(k ci.SSHKey) string { return k.Name }, func(ci.SSHKey) style { return bold }},
		{"FINGERPRINT", func(k ci.SSHKey) string { return k.Fingerprint }, nil},
		{"CREATED", func(k ci.SSHKey) string { return age(now, k.CreatedAt) }, nil},
		{"HOSTS", hostNames, nil},
	}, sshKeyPiped())
	return nil
}

func newSSHKeyShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show NAME", Aliases: []string{"view", "get"}, Short: "Show one SSH key: its public key and its hosts",
		Example: "  ci ssh-key show deploy",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.sshKeyShow(cmd.Context(), args[0]) },
	}
	return document(cmd, "", sshKeyFields)
}

func (a *app) sshKeyShow(ctx context.Context, name string) error {
	if a.wantsJSON() {
		return a.printGet(ctx, at("ssh-keys", name))
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	k, err := c.GetSSHKey(ctx, name)
	if err != nil {
		return err
	}
	pairs := []pair{
		{"name", k.Name},
		{"public key", k.PublicKey},
		{"fingerprint", k.Fingerprint},
		{"version", strconv.FormatInt(k.Version, 10)},
		{"created", stamp(k.CreatedAt)},
	}
	for _, h := range k.Hosts {
		pairs = append(pairs, pair{"host " + clean(h.Host), keyType(h) + " " + h.Fingerprint})
	}
	a.printPairs(pairs)
	return nil
}

func keyType(h ci.HostKey) string {
	kind, _, _ := strings.Cut(h.Key, " ")
	return kind
}

func newSSHKeyRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Aliases: []string{"remove", "delete"}, Short: "Delete a key pair for good, unless a job names it",
		Example: "  ci ssh-key rm deploy",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.sshKeyRemove(cmd.Context(), args[0]) },
	}
}

func (a *app) sshKeyRemove(ctx context.Context, name string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if err := c.DeleteSSHKey(ctx, name); err != nil {
		return err
	}
	a.note("SSH key %s is deleted. Take its public key away from the servers that know it.", clean(name))
	return nil
}
