// Package forge tests what forges are told of runs: a real backend with its
// database, queue, consoles and results, against the fake GitHub that is held
// against GitHub's own description.
package forge

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"ci/backend"
	"ci/backend/store"
	"ci/gh/app"
	"ci/gh/checks"
	"ci/gh/ghtest"
	"ci/pkg/ci"
)

// limit is how long a condition is waited for on a loaded machine.
const limit = 3 * time.Minute

// world is a backend, a GitHub, and a repository with the App.
type world struct {
	*backend.Backend
	t       *testing.T
	ctx     context.Context
	gh      *ghtest.Server
	repo    *ghtest.Repo
	install *ghtest.Installation
	forge   ci.ForgeAccess
	sha     string
}

// Forge implements app.Forges.
func (w *world) Forge(context.Context, string) (*ci.ForgeAccess, error) { return &w.forge, nil }

// List implements app.Forges.
func (w *world) List(context.Context) ([]ci.Forge, error) { return []ci.Forge{w.forge.Forge}, nil }

func setup(t *testing.T) *world {
	t.Helper()
	gh := ghtest.New(t)
	a := gh.NewApp("my-ci")
	w := &world{t: t, ctx: t.Context(), gh: gh, repo: gh.NewPrivateRepo("octo/hello")}
	w.sha = w.repo.Commit("octo", "main", map[string]string{"main.go": "package main\n"})
	w.install = a.Install("octo")
	w.forge = ci.ForgeAccess{
		Forge:     ci.Forge{Name: "github", Kind: ci.ForgeGitHub, URL: gh.URL, AppID: a.ID, Slug: "my-ci", Version: 1},
		ForgeKeys: ci.ForgeKeys{PrivateKey: a.PEM, WebhookSecret: a.WebhookSecret},
	}
	b, err := backend.New(w.ctx, backend.Config{
		Dir: t.TempDir(), URL: "https://ci.example.org", Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Key: make([]byte, 64),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	w.Backend = b
	require.NoError(t, b.Store.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.PutJob(ctx, &ci.Job{Name: "unit", Freestyle: []byte(`{"script":"go test ./..."}`)}, 0)
		return err
	}))
	return w
}

// worker starts one that tells GitHub, as each cid has one; stop ends it.
func (w *world) worker(outbox checks.Outbox) (stop func()) {
	w.t.Helper()
	c, err := checks.New(checks.Config{Apps: app.New(app.Config{Forges: w}), Outbox: outbox, Runs: w.Checks(), URL: "https://ci.example.org"})
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(w.ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := c.Run(ctx); err != nil {
			w.t.Errorf("checks: %v", err)
		}
	})
	stop = func() { cancel(); wait.Wait() }
	w.t.Cleanup(stop)
	return stop
}

func (w *world) origin(name string) ci.Origin {
	return ci.Origin{
		Forge: "github", Trigger: name, Installation: w.install.ID, Repository: w.repo.ID, FullName: "octo/hello", HeadSHA: w.sha,
		Ref: "refs/heads/main", Branch: "main",
	}
}

// trigger makes a run whose check has that name.
func (w *world) trigger(name string) *run {
	w.t.Helper()
	return w.triggerFor(w.origin(name))
}

// triggerFor makes a run that comes of an event.
func (w *world) triggerFor(o ci.Origin) *run {
	w.t.Helper()
	r, _, err := w.Engine.Trigger(w.ctx, ci.Trigger{Job: "unit", By: "test", Origin: &o})
	require.NoError(w.t, err)
	return &run{w, o.Trigger, ci.Claim{Run: r.ID, Agent: "a1", ID: fmt.Sprint("claim", r.ID)}}
}

// hold has a commit wait for somebody's yes.
func (w *world) hold(name string) {
	w.t.Helper()
	c := ci.OpenCheck{Origin: w.origin(name), Held: &ci.HeldCheck{Title: "Waits for approval", Summary: "From a fork."}}
	require.NoError(w.t, w.Store.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error { return tx.OpenCheck(ctx, c) }))
}

// run is one, in the hand of an agent.
type run struct {
	*world
	name  string
	claim ci.Claim
}

// start has an agent take the run and begin its script.
func (r *run) start() {
	r.t.Helper()
	_, err := r.Engine.Claim(r.ctx, r.claim)
	require.NoError(r.t, err)
	require.NoError(r.t, r.Engine.Started(r.ctx, r.claim))
}

// finish ends it, with a console and a report.
func (r *run) finish(o ci.Outcome, console, junit string) {
	r.t.Helper()
	end, err := r.Engine.AppendConsole(r.ctx, r.claim, 0, []byte(console))
	require.NoError(r.t, err)
	if junit != "" {
		_, err := r.Engine.PutResult(r.ctx, r.claim, ci.Result{Name: "junit", ContentType: "application/xml", Filename: "junit.xml", Files: 1}, strings.NewReader(junit))
		require.NoError(r.t, err)
	}
	code := 0
	if o == ci.OutcomeFailed {
		code = 2
	}
	require.NoError(r.t, r.Engine.Collecting(r.ctx, r.claim, &code))
	sum, err := r.Checks().ConsoleTail(r.ctx, r.claim.Run, 1<<30)
	require.NoError(r.t, err)
	require.True(r.t, bytes.Equal(sum, []byte(console)))
	require.NoError(r.t, r.Engine.Finish(r.ctx, r.claim, ci.End{
		Outcome: o, Reason: "The script ended with exit code 2.", ExitCode: &code, ScriptStarted: true, Console: ci.Console{Bytes: end},
	}))
}

// check waits until GitHub shows the run's check in a state, "completed failure", and returns it.
func (r *run) check(state string) ghtest.CheckRun {
	r.t.Helper()
	var seen ghtest.CheckRun
	require.Eventually(r.t, func() bool {
		for _, c := range r.repo.CheckRuns(r.sha) {
			if c.Name == r.name && c.ExternalID == fmt.Sprint(r.claim.Run) && strings.TrimSpace(c.Status+" "+c.Conclusion) == state {
				seen = c
				return true
			}
		}
		return false
	}, limit, 20*time.Millisecond, "the check %s never was %s", r.name, state)
	return seen
}

// settled waits until nothing is left to tell.
func (w *world) settled() {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		n, err := w.Store.OpenChecks(w.ctx)
		return err == nil && n == 0
	}, limit, 20*time.Millisecond)
}
