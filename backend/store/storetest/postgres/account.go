package postgres

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// programs returns the folder with initdb and postgres, of the newest version.
func programs(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		t.Fatalf("these tests need a Postgres server and found no initdb; install it (Debian: apt-get install postgresql-15), or set %s to the URL of a server whose user may create databases", Env)
	}
	sort.Strings(found)
	return filepath.Dir(found[len(found)-1])
}

// account is who runs the server; the zero account is ourselves.
type account struct{ uid, gid uint32 }

// unprivileged returns the account "postgres" when we are root, whom Postgres refuses.
func unprivileged(t testing.TB) account {
	t.Helper()
	if os.Geteuid() != 0 {
		return account{}
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	require.NoError(t, err, "Postgres does not run as root, and there is neither a user postgres nor nobody")
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	require.NoError(t, err)
	return account{uid: uint32(uid), gid: uint32(gid)}
}

func (a account) become(cmd *exec.Cmd, dir string) {
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C at the terminal is for the test alone
	if a.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
}

// folder is a temporary folder of the account's. Its path is short: the path of
// a Unix socket has at most 107 bytes.
func folder(t testing.TB, a account) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	if err == nil && (a.uid != 0 || len(dir) > 80) && filepath.Dir(dir) != "/tmp" {
		_ = os.Remove(dir) // the account may not get into our own TMPDIR
		dir, err = os.MkdirTemp("/tmp", "pg")
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if a.uid != 0 {
		require.NoError(t, os.Chown(dir, int(a.uid), int(a.gid)))
	}
	return dir
}
