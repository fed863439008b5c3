package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestExecRefuses tries what ends before anything starts.
func TestExecRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, exec.Command("git", "-C", dir, "init", "-q").Run())
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	job := file("job.yaml", "script: echo $A\nenv: [B, A, C]\n")
	w := newWorld(t)
	for name, test := range map[string]struct {
		line []string
		code int
		says string
	}{
		"missing secrets":     {[]string{"exec", job}, exitOther, "secrets are missing: A, B, C"},
		"some in a file":      {[]string{"exec", job, "--env-file", file("some.env", "# x\n\nB=1\r\n")}, exitOther, "secrets are missing: A, C"},
		"a broken file":       {[]string{"exec", job, "--env-file", file("bad.env", "A=1\ncanary\n")}, exitUsage, "bad.env:2: the line is not NAME=VALUE"},
		"no such file":        {[]string{"exec", job, "--env-file", filepath.Join(dir, "none")}, exitUsage, "none"},
		"no job file":         {[]string{"exec", filepath.Join(dir, "none.yaml")}, exitUsage, "can't be found"},
		"a bad job file":      {[]string{"exec", file("bad.yaml", "script: x\nenv: [CI_X]\n")}, exitUsage, "bad.yaml:2:7"},
		"reserved parameters": {[]string{"exec", job, "-p", "CI_TOKEN=x"}, exitUsage, "reserved"},
		"no value":            {[]string{"exec", job, "-p", "X"}, exitUsage, "expected NAME=VALUE"},
		"JSON":                {[]string{"exec", job, "--json"}, exitUsage, "--json"},
		"a compose file":      {[]string{"exec", file("compose.yaml", "script: x\ncompose: { file: none.yml }\n")}, exitUsage, "none.yml"},
		"a port":              {[]string{"exec", file("fine.yaml", "script: x\n"), "--reach", "70000"}, exitUsage, "70000"},
		"two files":           {[]string{"exec", job, job}, exitUsage, ""},
	} {
		got := w.run(test.line...)
		require.Equal(t, test.code, got.code, "%s: %s", name, got.err)
		require.Contains(t, got.err, test.says, name)
		require.NotContains(t, got.err, "canary", name)
		require.NotContains(t, got.err, "preparing", name)
	}
}

func TestExecSaves(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "results")
	o := &execOptions{results: dir}
	save := o.save()
	for _, test := range [][3]string{
		{"junit", "report.xml", "report.xml"},
		{"lint", "report.xml", "lint-report.xml"},
		{"evil", "../../out", "out"},
		{"hidden", ".profile", "hidden"},
	} {
		path, err := save(ci.Result{Name: test[0], Filename: test[1]})
		require.NoError(t, err)
		require.Equal(t, filepath.Join(dir, test[2]), path)
	}
	path, err := (&execOptions{}).save()(ci.Result{Name: "junit"})
	require.NoError(t, err)
	require.Empty(t, path)
}

func TestHostsOf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "known_hosts")
	require.NoError(t, os.WriteFile(path, []byte("# a comment\n\nhost,10.0.0.1 ssh-ed25519 AAAA of me\n@revoked host ssh-rsa BBBB\n|1|salt|hash ssh-rsa CCCC\nbroken\n"), 0o600))
	require.Equal(t, []ci.HostKey{{Host: "host,10.0.0.1", Key: "ssh-ed25519 AAAA"}, {Host: "|1|salt|hash", Key: "ssh-rsa CCCC"}}, hostsOf(path))
	require.Empty(t, hostsOf(path+"x"))
}
