package cli

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/gh/ghtest"
	"ci/pkg/ci"
)

func (f *fakeClient) PutForge(_ context.Context, a ci.ForgeAccess, _ int64) (ci.Forge, bool, error) {
	f.values["key of "+a.Name], f.values["webhooks of "+a.Name] = a.PrivateKey, a.WebhookSecret
	a.UpdatedAt = noon
	f.forges = append(f.forges, a.Forge)
	return a.Forge, true, f.err
}

func (f *fakeClient) ListForges(context.Context) ([]ci.Forge, error) { return f.forges, f.err }

func TestForges(t *testing.T) {
	t.Parallel()
	gh := ghtest.New(t)
	w := newWorld(t)
	w.documents["/whoami"] = `{"name":"bot","role":"maintain"}`
	got := w.run("forge", "setup", "--app", "my-ci", "--github", gh.URL)
	require.Equal(t, exitNotFound, got.code, "before an App is made whose keys nobody would take")
	require.Contains(t, got.err, "no App was made")
	w.documents["/whoami"] = `{"name":"ann","role":"admin"}`
	done := make(chan said, 1)
	shown := make(chan string, 1)
	w.onNote = func(text string) {
		if m := regexp.MustCompile(`http://127\S+`).FindString(text); m != "" {
			select {
			case shown <- m:
			default:
			}
		}
	}
	go func() {
		done <- w.run("forge", "setup", "--app", "my-ci", "--github", gh.URL, "--public", "https://ci.example.org/")
	}()
	select {
	case page := <-shown:
		require.NoError(t, ghtest.Confirm(page))
	case got := <-done:
		t.Fatalf("it ended early: %+v", got)
	case <-time.After(time.Minute):
		t.Fatal("no page was shown")
	}
	got = <-done
	require.Equal(t, 0, got.code, got.err)
	made := gh.App("my-ci")
	require.Equal(t, made.PEM, w.client.values["key of github"])
	require.Equal(t, made.WebhookSecret, w.client.values["webhooks of github"])
	require.NotContains(t, got.out+got.err, "PRIVATE KEY")
	require.Contains(t, got.err, "/github-apps/my-ci/installations/new")
	require.Equal(t, "github\tgithub\t"+gh.URL+"\tmy-ci\t2026-03-01T12:00:00Z\n", w.run("forge", "ls").out)
	w.documents["/forges"] = `{"forges":[{"name":"github","kind":"github","privateKey":null}]}`
	require.Equal(t, `{"forges":[{"name":"github","kind":"github"}]}`+"\n", w.run("forge", "ls", "--json", "name,kind").out)
	require.Equal(t, "github\n", w.run("forge", "ls", "--jq", ".forges[].name").out)
	require.Equal(t, exitUsage, w.run("forge", "setup").code)
}
