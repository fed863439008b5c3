package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newSecret(a *app) *cobra.Command {
	cmd := parent("secret", "Manage the secrets of jobs", newSecretSet(a), newSecretList(a), newSecretRemove(a))
	cmd.Aliases = []string{"secrets"}
	return cmd
}

type secretSetOptions struct {
	*app
	file string
}

func newSecretSet(a *app) *cobra.Command {
	o := &secretSetOptions{app: a}
	cmd := &cobra.Command{
		Use:   "set JOB NAME",
		Short: "Set a secret's value",
		Long: "Set the value of a job's secret. A job file names it under env, and the script finds it in a variable of that name.\n\n" +
			"The value is standard input without the line end that `echo` adds, or all of a file, to the last byte; " +
			"a terminal asks for a line without showing it. It is never an argument, and nothing shows it again. " +
			"Binary values don't fit into a variable: encode them, for example as base64.",
		Example: "  echo \"$NPM_TOKEN\" | ci secret set deploy NPM_TOKEN\n  ci secret set deploy KUBECONFIG --from-file kubeconfig",
		Args:    cobra.ExactArgs(2),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0], args[1]) },
	}
	cmd.Flags().StringVar(&o.file, "from-file", "", "take the value from this file")
	return cmd
}

func (o *secretSetOptions) run(ctx context.Context, job, name string) error {
	value, err := o.readConfidential("Value of "+name, o.file, ci.MaxSecret)
	if err != nil {
		return err
	}
	if err := ci.ValidateSecret(name, value); err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	made, err := c.PutSecret(ctx, job, name, value)
	if err != nil {
		return err
	}
	if n := len(strings.TrimSpace(value)); n < ci.MinMasked {
		o.note("ci: the value has %d bytes. Values under %d bytes are not masked in consoles, since too much else would be.", n, ci.MinMasked)
	}
	o.note("Secret %s of job %s is set (version %d).", clean(made.Name), clean(made.Job), made.Version)
	return nil
}

// readConfidential reads what must not be an argument: a file, a line that the
// terminal does not show, or standard input but for one line end, which most
// programs write and nobody means.
func (a *app) readConfidential(prompt, file string, limit int64) (string, error) {
	var data []byte
	var err error
	switch {
	case file != "":
		data, err = readLimited(file, limit)
	case a.InTTY:
		fmt.Fprint(a.Err, clean(prompt)+": ")
		data, err = a.ReadSecret()
		fmt.Fprintln(a.Err)
	default:
		data, err = io.ReadAll(io.LimitReader(a.In, limit+3))
		if line, ended := bytes.CutSuffix(data, []byte("\n")); ended {
			data = bytes.TrimSuffix(line, []byte("\r"))
		}
	}
	switch {
	case err != nil:
		return "", usagef("the value can't be read: %w", err)
	case int64(len(data)) > limit:
		return "", usagef("the value has more than %d bytes", limit)
	case len(data) == 0:
		return "", usagef("the value is empty; give it on standard input, or with --from-file")
	}
	return string(data), nil
}

func readLimited(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return io.ReadAll(io.LimitReader(f, limit+1))
}

func secretPiped() []column[ci.Secret] {
	return []column[ci.Secret]{
		{"name", func(s ci.Secret) string { return s.Name }, nil},
		{"version", func(s ci.Secret) string { return strconv.FormatInt(s.Version, 10) }, nil},
		{"updated", func(s ci.Secret) string { return stamp(s.UpdatedAt) }, nil},
		{"by", func(s ci.Secret) string { return s.UpdatedBy }, nil},
	}
}

func newSecretList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls JOB", Aliases: []string{"list"}, Short: "List a job's secrets, never their values",
		Long:    "List a job's secrets by name. Their values are never shown.\n\n" + pipedColumns(secretPiped()),
		Example: "  ci secret ls deploy",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.secretList(cmd.Context(), args[0]) },
	}
	return document(cmd, "secrets", secretFields)
}

func (a *app) secretList(ctx context.Context, job string) error {
	if a.wantsJSON() {
		return a.printGet(ctx, "/jobs/"+url.PathEscape(job)+"/secrets")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	list, err := c.ListSecrets(ctx, job)
	if err != nil {
		return err
	}
	if len(list) == 0 && a.OutTTY {
		a.hint("Job %s has no secrets. Set one with: ci secret set %s NAME", clean(job), clean(job))
		return nil
	}
	now := a.Now()
	printTable(a, list, []column[ci.Secret]{
		{"SECRET", func(s ci.Secret) string { return s.Name }, func(ci.Secret) style { return bold }},
		{"VERSION", func(s ci.Secret) string { return strconv.FormatInt(s.Version, 10) }, nil},
		{"UPDATED", func(s ci.Secret) string { return age(now, s.UpdatedAt) }, nil},
		{"BY", func(s ci.Secret) string { return s.UpdatedBy }, nil},
	}, secretPiped())
	return nil
}

func newSecretRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm JOB NAME", Aliases: []string{"remove", "delete"}, Short: "Delete a secret", Example: "  ci secret rm deploy NPM_TOKEN", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.secretRemove(cmd.Context(), args[0], args[1]) },
	}
}

func (a *app) secretRemove(ctx context.Context, job, name string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if err := c.DeleteSecret(ctx, job, name); err != nil {
		return err
	}
	a.note("Secret %s of job %s is deleted.", clean(name), clean(job))
	return nil
}
