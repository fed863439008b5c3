package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func (f *fakeClient) PutSecret(_ context.Context, job, name, value string) (ci.Secret, error) {
	if _, ok := f.jobs[job]; !ok {
		return ci.Secret{}, missing("job")
	}
	f.values[job+"/"+name] = value
	s := ci.Secret{Job: job, Name: name, Version: 1, UpdatedAt: noon, UpdatedBy: "me" + hostile}
	f.secrets = append(f.secrets, s)
	return s, f.err
}

func (f *fakeClient) ListSecrets(context.Context, string) ([]ci.Secret, error) {
	return f.secrets, f.err
}

func (f *fakeClient) DeleteSecret(_ context.Context, job, name string) error {
	if _, ok := f.values[job+"/"+name]; !ok {
		return missing("secret")
	}
	delete(f.values, job+"/"+name)
	return nil
}

func (f *fakeClient) PutRegistry(_ context.Context, a ci.RegistryAccess) (ci.Registry, error) {
	f.values[a.Host] = a.Password
	r := ci.Registry{Host: a.Host, Username: a.Username, UpdatedAt: noon, UpdatedBy: "me"}
	f.registries = append(f.registries, r)
	return r, f.err
}

func (f *fakeClient) ListRegistries(context.Context) ([]ci.Registry, error) {
	return f.registries, f.err
}

func (f *fakeClient) DeleteRegistry(_ context.Context, host string) error {
	if _, ok := f.values[host]; !ok {
		return missing("account")
	}
	delete(f.values, host)
	return nil
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.jobs["unit"] = ci.Job{Name: "unit"}
	w.stdin = " hunter2 \n\r\n"
	got := w.run("secret", "set", "unit", "PASSWORD")
	require.Equal(t, 0, got.code, got.err)
	require.Equal(t, " hunter2 \n", w.client.values["unit/PASSWORD"], "but for one line end")
	require.NotContains(t, got.out+got.err, "hunter2")
	require.Contains(t, got.err, "version 1")

	path := filepath.Join(t.TempDir(), "value")
	require.NoError(t, os.WriteFile(path, []byte("from a file\n"), 0o600))
	require.Equal(t, 0, w.run("secret", "set", "unit", "FILE", "--from-file", path).code)
	require.Equal(t, "from a file\n", w.client.values["unit/FILE"])

	w.stdin = "abc\n"
	require.Contains(t, w.run("secret", "set", "unit", "SHORT").err, "not masked")

	out := w.run("secret", "ls", "unit").out
	require.Contains(t, out, "PASSWORD\t1\t2026-03-01T12:00:00Z\t")
	harmless(t, strings.ReplaceAll(out, "\t", ""))
	require.NotContains(t, out, "hunter2")
	require.Equal(t, 0, w.run("secret", "rm", "unit", "FILE").code)
	require.Equal(t, exitNotFound, w.run("secret", "rm", "unit", "FILE").code)
	require.Equal(t, exitNotFound, w.run("secret", "set", "none", "X").code)
}

func TestSecretsThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.jobs["unit"] = ci.Job{Name: "unit"}
	for name, c := range map[string]struct{ secret, value, says string }{
		"empty":    {"X", "", "is empty"},
		"NUL":      {"X", "top\x00secret", "NUL byte"},
		"binary":   {"X", "top\xffsecret", "base64"},
		"too long": {"X", "topsecret" + strings.Repeat("x", ci.MaxSecret), "more than 65536 bytes"},
		"reserved": {"CI_X", "topsecret", "reserved"},
		"no name":  {"A-B", "topsecret", "must match"},
	} {
		w.stdin = c.value
		got := w.run("secret", "set", "unit", c.secret)
		require.NotZero(t, got.code, name)
		require.Contains(t, got.err, c.says, name)
		require.NotContains(t, got.err, "secret\x00", name)
		require.NotContains(t, got.err, "topsecret", name)
	}
	require.Empty(t, w.client.values)
	require.Equal(t, exitUsage, w.run("secret", "set", "unit", "X", "value").code, "a value is no argument")
}

func TestSecretOnATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t).terminal()
	w.client.jobs["unit"] = ci.Job{Name: "unit"}
	require.Equal(t, 0, w.run("secret", "set", "unit", "PASSWORD").code)
	require.Equal(t, "secret\n", w.client.values["unit/PASSWORD"], "what the terminal gave")
	require.Contains(t, w.run("secret", "ls", "unit").out, "SECRET")
}

func TestRegistries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stdin = "hunter2\n"
	got := w.run("registry", "set", "registry.example.com:5000", "-u", "ci")
	require.Equal(t, 0, got.code, got.err)
	require.Equal(t, "hunter2", w.client.values["registry.example.com:5000"])
	require.NotContains(t, got.out+got.err, "hunter2")
	require.Equal(t, "registry.example.com:5000\tci\t2026-03-01T12:00:00Z\tme\n", w.run("registry", "ls").out)
	require.NotZero(t, w.run("registry", "set", "https://x/", "-u", "ci").code)
	require.Equal(t, exitUsage, w.run("registry", "set", "docker.io").code)
	require.Equal(t, 0, w.run("registry", "rm", "registry.example.com:5000").code)
	require.Equal(t, exitNotFound, w.run("registry", "rm", "registry.example.com:5000").code)
}
