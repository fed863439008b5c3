package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ci/backend"
	"ci/backend/secret/keyfile"
	"ci/cmd/setting"
	"ci/pkg/ci"
)

// elsewhere is what the log says in place of a file.
const elsewhere = "none in this data folder; `cid admin-token` makes one"

// adminToken makes the system's first token of role admin, and says where it
// is. A cid with a database of its own makes one whenever there is no file that
// holds one: who can delete that file and restart holds the signing key anyway.
// Of cids that share a database the first one does, once for all of them.
func adminToken(ctx context.Context, b *backend.Backend, dir string) (where string, made bool, err error) {
	path := filepath.Join(dir, "admin.token")
	if _, err := os.Stat(path); err == nil {
		return path, false, nil
	}
	bearer, err := b.FirstAdmin(ctx)
	if err != nil || bearer == "" {
		return elsewhere, false, err
	}
	err = keyfile.Make(path, []byte(bearer+"\n"))
	if errors.Is(err, fs.ErrExist) {
		return path, false, nil // another cid of this folder was first; both tokens are valid
	}
	return path, err == nil, err
}

// adminOptions are the settings of `cid admin-token`: those of cid that it
// needs, and the token's.
type adminOptions struct {
	data, database, key, name string
	expiresIn                 time.Duration
}

func newAdminToken(stdout io.Writer) *cobra.Command {
	var o adminOptions
	loader := setting.Loader{Prefix: "CID", Getenv: os.LookupEnv}
	cmd := &cobra.Command{
		Use:   "admin-token",
		Short: "Make a token of role admin, to make others with",
		Long: `Make a token of role admin and print it: the way in when nobody has one, or when
the first one, which cid wrote to admin.token in its data folder, is lost.

  cid admin-token >token
  kubectl exec deploy/ci-cid -- cid admin-token | ci login https://ci.example.com

It needs the database and the key that signs tokens, by cid's own settings, and
runs beside a cid that serves. It has to be of the same release: like cid itself it
brings the database's schema up to its own release. The token ends after a day unless --expires-in says
otherwise; make lasting ones with ci token create.`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loader.Load(cmd.Flags()); err != nil {
				return err
			}
			bearer, err := o.mint(orBackground(cmd.Context()))
			if err == nil {
				_, err = fmt.Fprintln(stdout, bearer)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&o.data, "data", stateDir(), "cid's data folder")
	cmd.Flags().StringVar(&o.database, "database", "", "cid's database (default: SQLite in the data folder)")
	cmd.Flags().StringVar(&o.key, "token-key", "", "the key that signs tokens (default: token.key in the data folder)")
	cmd.Flags().StringVar(&o.name, "name", "", "the token's name (default: admin- and the time)")
	cmd.Flags().DurationVar(&o.expiresIn, "expires-in", 24*time.Hour, "how long it opens something; 0 is for ever")
	return cmd
}

// orBackground stands in for the context that cobra lacks when it was started without.
func orBackground(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

func (o *adminOptions) mint(ctx context.Context) (string, error) {
	if o.key == "" {
		o.key = filepath.Join(o.data, "token.key")
	}
	if o.database == "" {
		o.database = "sqlite:" + filepath.Join(o.data, "ci.db")
		if _, err := os.Stat(filepath.Join(o.data, "ci.db")); err != nil {
			return "", fmt.Errorf("no cid keeps its database in %s: %w; --data or --database names the one that is meant", o.data, err)
		}
	}
	if o.expiresIn < 0 {
		return "", fmt.Errorf("--expires-in %s is in the past", o.expiresIn)
	}
	key, err := readKey(o.key)
	if err != nil {
		return "", fmt.Errorf("%w; --token-key names the file that all cids of the system share", err)
	}
	t := ci.Token{Name: o.name, Role: ci.RoleAdmin}
	return backend.MakeToken(ctx, o.database, key, t, o.expiresIn, slog.New(slog.DiscardHandler))
}
