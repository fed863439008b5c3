package forge

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
	"ci/gh/ghtest"
	"ci/pkg/api"
	"ci/pkg/ci"
)

// lookout is a script that looks for what opened its repository, wherever a
// checkout could have left it.
const lookout = `
test "$(cat secret.txt)" = private
env > env.txt
cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline > processes.txt 2>/dev/null || true
for text in ghs_ x-access-token eC1hY2Nlc3MtdG9rZW46 xtraHeader; do
  if grep -r "$text" .git env.txt processes.txt /tmp /dev/shm; then echo "left behind: $text"; exit 1; fi
done
echo nothing is left
`

// privately is a cid with an agent that knows the App of a GitHub with a private repository.
type privately struct {
	*api.Client
	ctx    context.Context
	cid    *rig.Cid
	server *ghtest.Server
	app    *ghtest.App
	repo   *ghtest.Repo
	sha    string
}

func openPrivately(t *testing.T) *privately {
	t.Helper()
	if testing.Short() {
		t.Skip("a real server and containers are started")
	}
	ctx := t.Context()
	docker, err := rig.OpenDocker()
	require.NoError(t, err)
	image, err := docker.Busybox(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, docker.RemoveImage(context.Background(), image)) })
	w := &privately{ctx: ctx, server: ghtest.New(t)}
	w.app, w.repo = w.server.NewApp("my-ci"), w.server.NewPrivateRepo("octo/hello")
	w.sha = w.repo.Commit("octo", "main", map[string]string{
		"secret.txt": "private\n", "ci.yaml": "environment: { image: \"" + image + "\" }\nscript: |\n  " + strings.ReplaceAll(strings.TrimSpace(lookout), "\n", "\n  ") + "\n",
	})
	w.cid, w.Client = startCid(t, w.server, w.app)
	_, _, err = w.PutJob(ctx, &ci.Job{Name: "unit", Git: &ci.Git{URL: w.repo.CloneURL(), ConfigPath: "ci.yaml"}}, 0)
	require.NoError(t, err)
	return w
}

// run triggers a run of main, and returns it done, with its console.
func (w *privately) run(t *testing.T) (run *ci.Run, console string) {
	t.Helper()
	run, err := w.Trigger(w.ctx, ci.Trigger{Job: "unit", BranchName: "main"})
	require.NoError(t, err)
	run, err = w.WaitRun(w.ctx, "unit", run.ID, ci.UntilDone)
	require.NoError(t, err)
	body, err := w.Console(w.ctx, "unit", run.ID, 0, false)
	require.NoError(t, err)
	defer body.Close()
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	return run, string(text)
}

// A private repository needs nothing but the App: planner and checkout read it with
// a token for it alone, of which nothing stays.
func TestPrivateRepository(t *testing.T) {
	t.Parallel()
	w := openPrivately(t)
	run, _ := w.run(t)
	require.Equal(t, ci.OutcomeError, run.Outcome, "the App is not installed")
	require.Contains(t, run.Reason, "does not let us in")

	w.app.Install("octo", w.repo)
	var console string
	require.Eventually(t, func() bool {
		run, console = w.run(t)
		return run.Outcome != ci.OutcomeError
	}, limit, time.Second, "what is not installed is asked about again after a while")
	require.Equal(t, ci.OutcomeSucceeded, run.Outcome, "%s\n%s", run.Reason, console)
	require.Equal(t, w.sha, run.CommitSHA)
	require.Contains(t, console, "nothing is left")
	require.Equal(t, []map[string]map[string]string{{"octo/hello": {"contents": "read"}}}, w.server.Tokens())
	log, err := os.ReadFile(w.cid.LogFile())
	require.NoError(t, err)
	for _, text := range []string{console, string(log)} {
		require.NotContains(t, text, "ghs_")
		require.NotContains(t, text, "eC1hY2Nlc3MtdG9rZW46")
	}
}
