package forge

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
	"ci/gh/ghtest"
	"ci/pkg/api"
	"ci/pkg/ci"
)

// realJobFile is what the base branch says about each job: the test is a file
// of the commit, which a fork may change, and it is given a secret.
const realJobFile = `
script: sh ./test.sh
env: [DEPLOY_KEY]
results: { junit: { path: report.xml } }
timeout: 5m
`

// Tests of commits: one that passes, one with sixty failures, and one that takes long.
const (
	passes = "echo \"commit $CI_COMMIT_SHA, key [${DEPLOY_KEY:-none}]\"; echo \"branch $CI_BRANCH_NAME\"\n" +
		"echo '<testsuite name=\"s\"><testcase classname=\"c\" name=\"fine\"/></testsuite>' >report.xml\n"
	fails = `{ echo '<testsuite name="s">'
i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo "<testcase classname='c' name='case $i' file='main.go' line='$i'><failure message='wrong $i'>main.go:$i: wrong</failure></testcase>"; done
echo '</testsuite>'; } >report.xml
exit 1
`
	long = "sleep 240\n"
)

// whole is a cid as people start it, with containers, and a GitHub beside it
// whose repository is private.
type whole struct {
	*hooked
	cid    *rig.Cid
	client *api.Client
}

func begin(t *testing.T) *whole {
	t.Helper()
	server := ghtest.New(t)
	a := server.NewApp("my-ci")
	w := &whole{hooked: &hooked{t: t, ctx: t.Context(), gh: server, app: a, repo: server.NewPrivateRepo("octo/hello")}}
	files := map[string]string{"main.go": "package main\n", "test.sh": passes}
	for _, name := range []string{"unit", "lint", "deploy", "alone"} {
		files["ci/"+name+".yaml"] = realJobFile
	}
	w.main = w.repo.Commit("octo", "main", files)
	w.repo.Grant("alice", "write")
	a.Install("octo")
	w.cid, w.client = startCid(t, server, a)
	return w
}

// put makes a job of the repository, with its secret, and a trigger of the same name.
func (w *whole) put(t ci.EventTrigger) {
	w.t.Helper()
	w.putJob(t.Name)
	t.Job, t.Repository = t.Name, w.repo.FullName()
	_, _, err := w.client.PutEventTrigger(w.ctx, t, 0)
	require.NoError(w.t, err)
}

func (w *whole) putJob(name string) {
	w.t.Helper()
	_, _, err := w.client.PutJob(w.ctx, &ci.Job{Name: name, Git: &ci.Git{URL: w.repo.CloneURL(), ConfigPath: "ci/" + name + ".yaml"}}, 0)
	require.NoError(w.t, err)
	_, err = w.client.PutSecret(w.ctx, name, "DEPLOY_KEY", "canary-of-"+name)
	require.NoError(w.t, err)
}

// console is what the run of a check printed.
func (w *whole) console(check ghtest.CheckRun) string {
	w.t.Helper()
	a, err := w.cid.Client().Do(w.ctx, http.MethodGet, "/jobs/"+check.Name+"/runs/"+check.ExternalID+"/results/console", nil)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, a.Status, string(a.Body))
	return string(a.Body)
}

func (w *whole) count(job string) (n int) {
	w.t.Helper()
	for _, err := range w.client.ListRuns(w.ctx, ci.RunFilter{Job: job}) {
		require.NoError(w.t, err)
		n++
	}
	return n
}

// Everything together, and nothing played but GitHub: deliveries to a real cid,
// a private repository that planner and checkout read by the App's token, runs
// in containers, and checks that say what became of them.
func TestRealRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	t.Parallel()
	w := begin(t)
	w.put(ci.EventTrigger{Name: "unit", Supersede: true})
	w.put(ci.EventTrigger{Name: "lint", Paths: []string{"**/*.go"}})
	w.put(ci.EventTrigger{Name: "deploy", Events: []ci.EventKind{ci.EventPullRequest}, Forks: ci.ForksApproval})
	w.putJob("alone")
	w.pushes(t)
	w.pulls(t)
	w.forks(t)
	require.Zero(t, w.count("alone"), "no trigger, no run")
	r, err := w.client.Trigger(w.ctx, ci.Trigger{Job: "alone", BranchName: "main"})
	require.NoError(t, err)
	r, err = w.client.WaitRun(w.ctx, "alone", r.ID, ci.UntilDone)
	require.NoError(t, err)
	require.Equal(t, ci.OutcomeSucceeded, r.Outcome, "a job needs no trigger: %s", r.Reason)
	require.Contains(t, w.gh.Tokens(), map[string]map[string]string{"octo/hello": {"contents": "read"}}, "what git gets")
}

// pushes: two jobs of one repository, each by its own filter.
func (w *whole) pushes(t *testing.T) {
	const branch = "$(touch${IFS}pwned);`id`&x" // a name, and nothing else, to whatever reads it (S4)
	w.repo.Commit("alice", branch, map[string]string{"a.txt": "1\n"})
	sha := w.repo.Push("alice", branch, map[string]string{"README.md": "hello\n"})
	check := w.check(sha, "unit", "completed success")
	require.Contains(t, w.console(check), "commit "+sha+", key [***]\nbranch "+branch+"\n", "the secret is there, and masked")
	_, is := w.repo.Check(sha, "lint")
	require.False(t, is, "no Go file was changed")
	sha = w.repo.Push("alice", "main", map[string]string{"main.go": "package main // 2\n"})
	w.check(sha, "unit", "completed success")
	w.check(sha, "lint", "completed success")
}

// pulls: opened, broken with sixty annotations, one check again, superseded, closed.
func (w *whole) pulls(t *testing.T) {
	w.repo.Commit("alice", "topic", map[string]string{"a.txt": "1\n"})
	p := w.repo.OpenPull("alice", w.repo, "topic", "main", "A change")
	w.check(p.HeadSHA(), "unit", "completed success")
	w.check(p.HeadSHA(), "deploy", "completed success")

	w.repo.Push("alice", "topic", map[string]string{"test.sh": fails})
	failed := w.check(p.HeadSHA(), "unit", "completed failure")
	require.Eventually(t, func() bool {
		failed, _ = w.repo.Check(p.HeadSHA(), "unit")
		return len(failed.Annotations) == 60
	}, limit, 20*time.Millisecond, "an annotation for each failed test")
	require.Contains(t, *failed.Output.Title+*failed.Output.Summary, "60")
	require.Equal(t, "main.go", failed.Annotations[0].Path)
	before := w.count("unit")
	w.gh.Rerequest("alice", failed)
	require.Eventually(t, func() bool {
		again, _ := w.repo.Check(p.HeadSHA(), "unit")
		return again.ExternalID != failed.ExternalID && again.Conclusion == "failure"
	}, limit, 20*time.Millisecond, "the check again")
	require.Equal(t, before+1, w.count("unit"))

	w.repo.Push("alice", "topic", map[string]string{"test.sh": long})
	slow := p.HeadSHA()
	w.check(slow, "unit", "in_progress")
	w.repo.Push("alice", "topic", map[string]string{"test.sh": passes})
	w.check(slow, "unit", "completed cancelled")
	w.check(p.HeadSHA(), "unit", "completed success")
	p.Close("alice", false)
}

// forks: by the base branch's job file and without its secrets, or after a
// person with write access said yes to that commit.
func (w *whole) forks(t *testing.T) {
	fork := w.repo.Fork("mallory")
	evil := strings.Replace(passes, "commit", "evil commit", 1) + "env | grep -c -E 'canary|CI_TOKEN' || true\n"
	fork.Commit("mallory", "evil", map[string]string{"test.sh": evil, "ci/unit.yaml": "script: env\n" + "env: [DEPLOY_KEY]\nci: true\n"})
	p := w.repo.OpenPull("mallory", fork, "evil", "main", "Please")
	out := w.console(w.check(p.HeadSHA(), "unit", "completed success"))
	require.Contains(t, out, fmt.Sprintf("evil commit %s, key [none]\nbranch evil\n0\n", p.HeadSHA()), "the fork's code, by the base branch's file")

	held := w.check(p.HeadSHA(), "deploy", "completed action_required")
	before := w.count("deploy")
	w.gh.Click("mallory", held, "approve")
	w.gh.Click("alice", held, "approve")
	out = w.console(w.check(p.HeadSHA(), "deploy", "completed success"))
	require.Contains(t, out, "key [none]\nbranch evil\n0\n", "approved or not, a fork gets no secrets")
	require.Equal(t, before+1, w.count("deploy"))
}
