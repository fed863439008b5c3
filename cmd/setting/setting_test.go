package setting_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"ci/cmd/setting"
)

func flags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
	fs.String("listen", "127.0.0.1:8080", "address")
	fs.StringSlice("git-allow", nil, "hosts")
	fs.Duration("lease", 0, "lease")
	fs.String(setting.FileFlag, "", "file")
	return fs
}

func loader(env map[string]string) setting.Loader {
	return setting.Loader{Prefix: "CID", Getenv: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cid.yaml")
	require.NoError(t, os.WriteFile(file, []byte("listen: file:1\nlease: 3s\ngit-allow: [a, b]\n"), 0o600))
	fs := flags()
	require.NoError(t, fs.Parse([]string{"--config", file, "--listen", "flag:1"}))
	require.NoError(t, loader(map[string]string{"CID_LISTEN": "env:1", "CID_LEASE": "5s"}).Load(fs))
	get := func(n string) string { return fs.Lookup(n).Value.String() }
	require.Equal(t, "flag:1", get("listen"), "the command line wins")
	require.Equal(t, "5s", get("lease"), "then the environment")
	require.Equal(t, "[a,b]", get("git-allow"), "then the file")
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, env, want string }{
		"unknown key": {file: "lisen: x\n", want: "unknown settings: lisen"},
		"bad value":   {file: "lease: soon\n", want: "lease"},
		"bad yaml":    {file: "a: [\n", want: ""},
		"bad env":     {env: "soon", want: "CID_LEASE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{}
			if c.env != "" {
				env["CID_LEASE"] = c.env
			}
			if c.file != "" {
				env["CID_CONFIG"] = filepath.Join(t.TempDir(), "f.yaml")
				require.NoError(t, os.WriteFile(env["CID_CONFIG"], []byte(c.file), 0o600))
			}
			fs := flags()
			require.NoError(t, fs.Parse(nil))
			require.ErrorContains(t, loader(env).Load(fs), c.want)
		})
	}
}

func TestEveryFlagHasAVariable(t *testing.T) {
	t.Parallel()
	fs := flags()
	l := loader(nil)
	l.Describe(fs)
	fs.VisitAll(func(f *pflag.Flag) { require.Contains(t, f.Usage, "[$"+l.Env(f.Name)+"]") })
}
