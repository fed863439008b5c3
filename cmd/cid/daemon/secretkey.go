package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ci/backend"
	"ci/cmd/setting"
)

// keyOptions are the settings of `cid secret-key`: those of cid that it needs.
type keyOptions struct {
	data, database, key string
	forget              bool
	out                 io.Writer
}

func newSecretKey(stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret-key",
		Short: "Change the key that seals secrets in the database",
		Long: `Change the key that seals secrets, registry accounts and SSH keys in the database:

  cid secret-key add       puts a new key into the file; it seals nothing yet
  (copy the file to every cid and ci-agent; they read it again by themselves)
  cid secret-key renew     seals everything again with the new key

They take cid's --data, --database and --secret-key, and run beside a cid that serves.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	o := &keyOptions{out: stderr}
	add := o.verb("add", "Put a new key into the file, which seals nothing until renew", func(context.Context) error { return o.add() })
	renew := o.verb("renew", "Seal everything again with the newest key of the file", o.renew)
	renew.Flags().BoolVar(&o.forget, "forget", false, "remove all older keys from the file afterwards: backups of the database from before can't be read then")
	made := o.verb("new", "Make the file when it is lost, and give up all that is sealed", func(context.Context) error { return o.make() })
	cmd.AddCommand(add, renew, made)
	return cmd
}

// verb makes one verb; they share their settings, which are cid's.
func (o *keyOptions) verb(name, short string, run func(context.Context) error) *cobra.Command {
	loader := setting.Loader{Prefix: "CID", Getenv: os.LookupEnv}
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loader.Load(cmd.Flags()); err != nil {
				return err
			}
			if o.key == "" {
				o.key = filepath.Join(o.data, "secret.key")
			}
			if o.database == "" {
				o.database = "sqlite:" + filepath.Join(o.data, "ci.db")
			}
			return run(orBackground(cmd.Context()))
		},
	}
	cmd.Flags().StringVar(&o.data, "data", stateDir(), "cid's data folder")
	cmd.Flags().StringVar(&o.database, "database", "", "cid's database (default: SQLite in the data folder)")
	cmd.Flags().StringVar(&o.key, "secret-key", "", "the file (default: secret.key in the data folder)")
	return cmd
}

func (o *keyOptions) add() error {
	id, err := backend.AddSecretKey(o.key)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.out, "Key %08x is in %s. Copy the file to every cid and ci-agent, then: cid secret-key renew\n", id, o.key)
	return nil
}

func (o *keyOptions) renew(ctx context.Context) error {
	renewed, all, err := backend.RenewSecrets(ctx, o.database, o.key, o.forget, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	fmt.Fprintf(o.out, "Sealed again: %d of %d values; the others were fresh.\n", renewed, all)
	return nil
}

func (o *keyOptions) make() error {
	if err := backend.MakeSecretKey(o.key); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "%s has a key. Secrets, registry accounts and SSH keys that were sealed with another can't be read and must be set again.\n", o.key)
	return nil
}
