package forge

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"ci/backend"
	"ci/backend/store"
	"ci/backend/trace"
	"ci/gh"
	"ci/gh/app"
	"ci/gh/ghtest"
	"ci/pkg/ci"
)

// hooked is a backend that serves webhooks, and a GitHub with a repository.
type hooked struct {
	*backend.Backend
	t       *testing.T
	ctx     context.Context
	gh      *ghtest.Server
	app     *ghtest.App
	repo    *ghtest.Repo
	main    string // the commit that main begins with
	url     string // where deliveries of forge github come
	handler atomic.Value
}

// handler has one type, as atomic.Value wants it.
type handler struct{ http.Handler }

const jobFile = "script: make test\n"

// listen makes a world with two git jobs, "unit" and "lint", of one repository.
// allow are further hosts that git may reach.
func listen(t *testing.T, allow ...string) *hooked {
	t.Helper()
	server := ghtest.New(t)
	a := server.NewApp("my-ci")
	w := &hooked{t: t, ctx: t.Context(), gh: server, app: a, repo: server.NewRepo("octo/hello")}
	w.main = w.repo.Commit("octo", "main", map[string]string{"main.go": "package main\n", "ci/unit.yaml": jobFile, "ci/lint.yaml": jobFile})
	w.repo.Grant("alice", "write")
	a.Install("octo")
	b, err := backend.New(w.ctx, backend.Config{
		Dir: t.TempDir(), URL: "https://ci.example.org", Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Key: make([]byte, 64), GitAllow: append(allow, strings.TrimPrefix(server.URL, "http://")),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	w.Backend = b
	w.background(b.Run)
	for _, name := range []string{"unit", "lint"} {
		w.job(&ci.Job{Name: name, Git: &ci.Git{URL: w.repo.CloneURL(), ConfigPath: "ci/" + name + ".yaml"}, Parameters: []ci.Parameter{{Name: "PULL"}}})
	}
	_, _, err = b.Secrets.Forges.Put(w.ctx, ci.ForgeAccess{
		Forge:     ci.Forge{Name: "github", Kind: ci.ForgeGitHub, URL: server.URL, AppID: a.ID, Slug: "my-ci"},
		ForgeKeys: ci.ForgeKeys{PrivateKey: a.PEM, WebhookSecret: a.WebhookSecret},
	}, 0)
	require.NoError(t, err)
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.handler.Load().(handler).ServeHTTP(rw, r)
	}))
	t.Cleanup(front.Close)
	w.url = front.URL + "/hooks/github"
	a.SetHook(w.url)
	w.serve()
	return w
}

// background runs fn until the test ends, or until stop.
func (w *hooked) background(fn func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := fn(ctx); err != nil && ctx.Err() == nil {
			w.t.Errorf("it ended: %v", err)
		}
	})
	stop = func() { cancel(); wait.Wait() }
	w.t.Cleanup(stop)
	return stop
}

// serve starts the module as cid does; stop ends its loops.
func (w *hooked) serve() (stop func()) {
	w.t.Helper()
	traces := &trace.Tracer{} // which hands on what it is told
	g, err := gh.New(gh.Config{
		Records: w.Hooks(), Outbox: w.Checks(), Runs: w.Checks(), URL: "https://ci.example.org",
		Apps: app.New(app.Config{Forges: w.Secrets.Forges}), Log: slog.New(slog.DiscardHandler), Reconcile: 200 * time.Millisecond,
		Traced: traces.Handler, Trace: traces.Of,
	})
	require.NoError(w.t, err)
	w.handler.Store(handler{g.Handler(http.NotFoundHandler())})
	return w.background(g.Run)
}

func (w *hooked) job(j *ci.Job) {
	w.t.Helper()
	require.NoError(w.t, w.Store.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.PutJob(ctx, j, 0)
		return err
	}))
}

// trigger makes an event trigger of the world's repository.
func (w *hooked) trigger(t ci.EventTrigger) {
	w.t.Helper()
	if t.Repository == "" {
		t.Repository = w.repo.FullName()
	}
	t.Defaults()
	require.NoError(w.t, t.Validate())
	require.NoError(w.t, w.Store.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error {
		put := t
		_, err := tx.PutEventTrigger(ctx, &put, 0)
		return err
	}))
}

// settled waits until every delivery was acted on, and returns them, newest first.
func (w *hooked) settled() []ci.Webhook {
	w.t.Helper()
	var list []ci.Webhook
	require.Eventually(w.t, func() bool {
		var err error
		list, err = w.Store.ListWebhooks(w.ctx, "", 0, 10_000)
		if err != nil {
			return false
		}
		for _, h := range list {
			if h.SettledAt.IsZero() {
				return false
			}
		}
		return true
	}, limit, 20*time.Millisecond)
	return list
}

// note is what came of the newest delivery of an event.
func (w *hooked) note(event string) string {
	w.t.Helper()
	for _, h := range w.settled() {
		if h.Event+" "+h.Action == event {
			return h.Note
		}
	}
	w.t.Fatalf("no delivery of %s came", event)
	return ""
}

// runs waits until all is acted on and returns the runs of a job, newest first.
func (w *hooked) runs(job string) []ci.Run {
	w.t.Helper()
	w.settled()
	list, err := w.Store.ListRuns(w.ctx, ci.RunFilter{Job: job}, 10_000)
	require.NoError(w.t, err)
	return list
}

// planned waits until a run is planned and returns it whole.
func (w *hooked) planned(id int64) *ci.Run {
	w.t.Helper()
	run, err := w.Engine.Wait(w.ctx, "", id, ci.UntilPlanned, limit)
	require.NoError(w.t, err)
	require.True(w.t, run.Reached(ci.UntilPlanned))
	return run
}

// check waits until GitHub shows a check of that name at a commit in a state.
func (w *hooked) check(sha, name, state string) (seen ghtest.CheckRun) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		c, ok := w.repo.Check(sha, name)
		seen = c
		return ok && strings.TrimSpace(c.Status+" "+c.Conclusion) == state
	}, limit, 20*time.Millisecond, "check %s at %s never was %s", name, sha, state)
	return seen
}

// post sends a delivery by hand.
func (w *hooked) post(body []byte, change func(h http.Header)) (status int, says string) {
	w.t.Helper()
	return w.send(w.url, body, func(h http.Header) {
		h.Set("X-GitHub-Event", "push")
		h.Set("X-GitHub-Delivery", "by-hand")
		h.Set("X-Hub-Signature-256", "sha256="+mac(w.app.WebhookSecret, body))
		if change != nil {
			change(h)
		}
	})
}

func mac(secret string, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

func (w *hooked) send(url string, body []byte, headers func(h http.Header)) (status int, says string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, url, bytes.NewReader(body))
	require.NoError(w.t, err)
	headers(req.Header)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	return resp.StatusCode, string(text)
}

// push is the newest push to a repository as it is recorded now; a zero one while there is none.
func (w *hooked) push(repository string) (newest ci.Webhook) {
	w.t.Helper()
	list, err := w.Store.ListWebhooks(w.ctx, "", 0, 10_000)
	require.NoError(w.t, err)
	for _, h := range list {
		if h.Event == "push" && h.Repository == repository {
			return h
		}
	}
	return newest
}

// redeliveries counts, by delivery, the attempts that GitHub was asked for and
// that were answered with a status; 0 is nobody's answer.
func (w *hooked) redeliveries(status int) map[string]int {
	counts := map[string]int{}
	for _, d := range w.app.Deliveries() {
		if d.Redelivery && d.Status == status {
			counts[d.GUID]++
		}
	}
	return counts
}
