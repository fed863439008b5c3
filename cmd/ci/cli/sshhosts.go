package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
	"ci/pkg/sshkey"
)

func newSSHHosts(a *app) *cobra.Command {
	return parent("hosts", "Pin the hosts that an SSH key is for", newHostsScan(a), newHostsAdd(a), newHostsRemove(a))
}

type hostsScanOptions struct {
	*app
	fingerprints []string
	yes          bool
}

func newHostsScan(a *app) *cobra.Command {
	o := &hostsScanOptions{app: a}
	cmd := &cobra.Command{
		Use:   "scan [KEY] HOST[:PORT]",
		Short: "Ask a server for its host keys, and pin those that you confirm",
		Long: "Have the CI server ask an SSH server for its host keys, and show their fingerprints. Compare them with what the owner of the server publishes: " +
			"whoever sits in between can show any key.\n\n" +
			"With KEY, those that you confirm are pinned to this SSH key. A terminal asks; a script gives --yes together with each --fingerprint that it expects.",
		Example: "  ci ssh-key hosts scan git.example.com\n  ci ssh-key hosts scan deploy git.example.com:2222 --fingerprint SHA256:… --yes",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			key := ""
			if len(args) == 2 {
				key = args[0]
			}
			return o.run(cmd.Context(), key, args[len(args)-1])
		},
	}
	cmd.Flags().StringArrayVar(&o.fingerprints, "fingerprint", nil, "take only the host key with this SHA256:… fingerprint; may be repeated")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "don't ask; only with --fingerprint")
	return cmd
}

func hostPiped() []column[ci.HostKey] {
	return []column[ci.HostKey]{
		{"host", func(h ci.HostKey) string { return h.Host }, nil},
		{"type", keyType, nil},
		{"fingerprint", func(h ci.HostKey) string { return h.Fingerprint }, nil},
		{"key", func(h ci.HostKey) string { return h.Key }, nil},
	}
}

func (o *hostsScanOptions) run(ctx context.Context, key, host string) error {
	if o.yes && len(o.fingerprints) == 0 {
		return usagef("--yes needs --fingerprint: a host key that nobody has compared with anything is not to be believed")
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	found, err := c.ScanHost(ctx, host)
	if err != nil {
		return err
	}
	if found, err = o.expected(host, found); err != nil {
		return err
	}
	printTable(o.app, found, []column[ci.HostKey]{
		{"HOST", func(h ci.HostKey) string { return h.Host }, func(ci.HostKey) style { return bold }},
		{"TYPE", keyType, nil},
		{"FINGERPRINT", func(h ci.HostKey) string { return h.Fingerprint }, nil},
	}, hostPiped())
	if key == "" {
		return nil
	}
	if !o.yes {
		if !o.InTTY {
			return usagef("nothing was pinned: there is no terminal to ask; give --fingerprint with what the server's owner publishes, and --yes")
		}
		if !o.confirm(fmt.Sprintf("Does the owner of %s publish the same? Pin to SSH key %s [y/N] ", clean(host), clean(key))) {
			o.note("Nothing was pinned.")
			return nil
		}
	}
	return o.pin(ctx, key, adding(found))
}

// expected are those of found that have one of the fingerprints, or all when none is given.
func (o *hostsScanOptions) expected(host string, found []ci.HostKey) ([]ci.HostKey, error) {
	if len(o.fingerprints) == 0 {
		return found, nil
	}
	var some []ci.HostKey
	for _, h := range found {
		if slices.Contains(o.fingerprints, h.Fingerprint) {
			some = append(some, h)
		}
	}
	if len(some) == 0 {
		return nil, fmt.Errorf("%s shows no host key with such a fingerprint; it may have changed its keys, or somebody is in between", clean(host))
	}
	return some, nil
}

// confirm asks a question on the terminal.
func (a *app) confirm(question string) bool {
	fmt.Fprint(a.Err, question)
	line, _ := bufio.NewReader(a.In).ReadString('\n')
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes"
}

// adding is a change that adds hosts.
func adding(more []ci.HostKey) func([]ci.HostKey) ([]ci.HostKey, error) {
	return func(hosts []ci.HostKey) ([]ci.HostKey, error) { return append(hosts, more...), nil }
}

// pin replaces the hosts of a key by what change makes of them, unless
// somebody else has changed them meanwhile.
func (a *app) pin(ctx context.Context, key string, change func([]ci.HostKey) ([]ci.HostKey, error)) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	k, err := c.GetSSHKey(ctx, key)
	if err != nil {
		return err
	}
	changed, err := change(slices.Clone(k.Hosts))
	if err != nil {
		return err
	}
	if k, _, err = c.PutSSHKey(ctx, key, changed, k.Version); err != nil {
		return err
	}
	hosts := hostNames(k)
	if hosts == "" {
		hosts = "no hosts"
	}
	a.note("SSH key %s is for %s.", clean(key), clean(hosts))
	return nil
}

func newHostsAdd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "add KEY [HOST[:PORT] TYPE BASE64]",
		Short: "Pin a host key that you have from its owner",
		Long: "Pin a host key that you have from its owner to an SSH key. Without a host, lines of a known_hosts file are read from standard input " +
			"(plain ones: no patterns, no hashed names).",
		Example: "  ci ssh-key hosts add deploy git.example.com ssh-ed25519 AAAA…\n  ci ssh-key hosts add deploy < known_hosts",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && (len(args) < 3 || len(args) > 5) {
				return errors.New("give KEY alone, or KEY HOST TYPE BASE64")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.hostsAdd(cmd.Context(), args[0], args[1:]) },
	}
}

func (a *app) hostsAdd(ctx context.Context, key string, words []string) error {
	var hosts []ci.HostKey
	if len(words) > 0 {
		hosts = []ci.HostKey{{Host: words[0], Key: strings.Join(words[1:], " ")}}
	} else {
		text, err := io.ReadAll(io.LimitReader(a.In, 1<<20))
		if err != nil {
			return err
		}
		hosts = knownHosts(string(text))
	}
	if len(hosts) == 0 {
		return usagef("standard input has no line of a known_hosts file")
	}
	hosts, err := sshkey.CheckHosts(hosts)
	if err != nil {
		return err
	}
	return a.pin(ctx, key, adding(hosts))
}

// knownHosts reads lines of a known_hosts file, one entry for each name of a line.
func knownHosts(text string) []ci.HostKey {
	var hosts []ci.HostKey
	for line := range strings.Lines(text) {
		names, key, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(names, "#") {
			continue
		}
		for name := range strings.SplitSeq(names, ",") {
			hosts = append(hosts, ci.HostKey{Host: name, Key: strings.TrimSpace(key)})
		}
	}
	return hosts
}

func newHostsRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm KEY HOST[:PORT]", Aliases: []string{"remove", "delete"}, Short: "Take a host, or one of its keys by fingerprint, away from an SSH key",
		Example: "  ci ssh-key hosts rm deploy git.example.com",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.hostsRemove(cmd.Context(), args[0], args[1])
		},
	}
}

func (a *app) hostsRemove(ctx context.Context, key, which string) error {
	host := which
	if !strings.HasPrefix(which, "SHA256:") {
		normal, err := sshkey.NormalHost(which)
		if err != nil {
			return usagef("%w", err)
		}
		host = normal
	}
	return a.pin(ctx, key, func(hosts []ci.HostKey) ([]ci.HostKey, error) {
		left := slices.DeleteFunc(slices.Clone(hosts), func(h ci.HostKey) bool { return h.Host == host || h.Fingerprint == which })
		if len(left) == len(hosts) {
			return nil, ci.Errorf(ci.CodeNotFound, "SSH key %s has no host %s", clean(key), clean(which))
		}
		return left, nil
	})
}
