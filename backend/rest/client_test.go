package rest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/api"
	"ci/pkg/ci"
)

func (s *site) client(role ci.Role) *api.Client {
	s.t.Helper()
	c, err := api.New(api.Config{URL: s.server.URL, Token: s.bearer[role], Retry: 5 * time.Second})
	require.NoError(s.t, err)
	return c
}

// TestClient goes through every method of the client against the real handler.
func TestClient(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newSite(t)
	c := s.client(ci.RoleAdmin)

	job := &ci.Job{Name: "hello", Freestyle: []byte(`{"script":"echo <hi>"}`), Parameters: []ci.Parameter{{Name: "A", Default: "1"}}}
	put, created, err := c.PutJob(ctx, job, -1)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, string(job.Freestyle), string(put.Freestyle))
	_, _, err = c.PutJob(ctx, job, -1)
	require.Equal(t, ci.CodeStale, ci.CodeOf(err))
	_, created, err = c.PutJob(ctx, job, put.Version)
	require.NoError(t, err)
	require.False(t, created)
	_, _, err = c.PutJob(ctx, job, put.Version)
	require.Equal(t, ci.CodeStale, ci.CodeOf(err))

	got, err := c.GetJob(ctx, "hello")
	require.NoError(t, err)
	require.EqualValues(t, 2, got.Version)
	_, _, err = c.PutJob(ctx, &ci.Job{Name: "another", Git: &ci.Git{URL: "https://h/x", ConfigPath: "a.yaml"}}, 0)
	require.NoError(t, err)
	var names []string
	for j, err := range c.ListJobs(ctx) {
		require.NoError(t, err)
		names = append(names, j.Name)
	}
	require.Equal(t, []string{"another", "hello"}, names)

	run, err := c.Trigger(ctx, ci.Trigger{Job: "hello", Parameters: map[string]string{"A": "2"}})
	require.NoError(t, err)
	require.Equal(t, "admin", run.TriggeredBy)
	_, err = c.Trigger(ctx, ci.Trigger{Job: "hello", Parameters: map[string]string{"B": "2"}})
	var fault *ci.Error
	require.ErrorAs(t, err, &fault)
	require.Equal(t, ci.CodeInvalid, fault.Code)
	require.Equal(t, "parameters.B", fault.Fields[0].Path)
	batch, err := c.TriggerBatch(ctx, []ci.Trigger{{Job: "hello"}, {Job: "another", BranchName: "main"}})
	require.NoError(t, err)
	require.Len(t, batch, 2)
	var ids []int64
	for r, err := range c.ListRuns(ctx, ci.RunFilter{Job: "hello"}) {
		require.NoError(t, err)
		ids = append(ids, r.ID)
	}
	require.Equal(t, []int64{2, 1}, ids)
	report, err := c.Explain(ctx, "hello", run.ID)
	require.NoError(t, err)
	require.Equal(t, run.ID, report.Run)
	aborted, err := c.Abort(ctx, "hello", run.ID)
	require.NoError(t, err)
	require.False(t, aborted.AbortRequestedAt.IsZero())

	s.say(run.ID, "one\n")
	s.putResult(run.ID, "junit", "ju nït.zip", "application/zip", []byte("PK"))
	live, err := c.Console(ctx, "hello", run.ID, 0, true)
	require.NoError(t, err)
	first := make([]byte, 4)
	_, err = io.ReadFull(live, first)
	require.NoError(t, err)
	s.say(run.ID, "two\n")
	waited := make(chan *ci.Run, 1)
	go func() {
		r, _ := c.WaitRun(ctx, "hello", run.ID, ci.UntilDone)
		waited <- r
	}()
	s.finish(run.ID)
	rest, err := io.ReadAll(live)
	require.NoError(t, err)
	require.NoError(t, live.Close())
	require.Equal(t, "one\ntwo\n", string(first)+string(rest))
	require.Equal(t, ci.OutcomeSucceeded, (<-waited).Outcome)

	results, err := c.Results(ctx, "hello", run.ID)
	require.NoError(t, err)
	require.Equal(t, "junit", results[0].Name)
	require.Equal(t, ci.ConsoleResult, results[1].Name)
	body, kind, filename, size, err := c.OpenResult(ctx, "hello", run.ID, "junit")
	require.NoError(t, err)
	data, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	require.Equal(t, []any{"PK", "application/zip", "ju nït.zip", int64(2)}, []any{string(data), kind, filename, size})
	saved, err := c.JobResults(ctx, "hello")
	require.NoError(t, err)
	require.Equal(t, []string{"junit"}, saved)

	require.NoError(t, c.DeleteJob(ctx, "another"))
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(c.DeleteJob(ctx, "another")))
}

func TestClientSystem(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newSite(t)
	c := s.client(ci.RoleAdmin)
	s.agents["a1"] = ci.Agent{ID: "a1", CPUs: 4, Memory: 1 << 34, Runs: []int64{7}, SeenAt: s.Now()}

	agents, err := c.ListAgents(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{7}, agents[0].Runs)
	order, err := c.Drain(ctx, "a1", ci.Drain{Reason: "new disk"})
	require.NoError(t, err)
	require.Equal(t, "new disk", order.Reason)
	require.Equal(t, ci.DrainAbort, order.Then)
	require.NotEmpty(t, order.By)
	order, err = c.GetDrain(ctx, "a1")
	require.NoError(t, err)
	require.Equal(t, "new disk", order.Reason)
	require.True(t, order.Drained())
	require.NoError(t, c.Undrain(ctx, "a1"))
	_, err = c.GetDrain(ctx, "a1")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	s.agents["a1"] = ci.Agent{ID: "a1", SeenAt: s.Now(), Leaving: &ci.Drain{By: "a signal", Leaving: true}}
	order, err = c.GetDrain(ctx, "a1")
	require.NoError(t, err)
	require.Equal(t, []any{"a signal", true}, []any{order.By, order.Leaving})
	require.Equal(t, ci.CodeConflict, ci.CodeOf(c.Undrain(ctx, "a1")))
	_, err = c.Drain(ctx, "a2", ci.Drain{})
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	queues, err := c.Queues(ctx)
	require.NoError(t, err)
	require.Len(t, queues, 6)
	require.Equal(t, ci.Lane{Class: "small", Priority: ci.PriorityUrgent}, queues[0].Lane)

	config, err := c.GetConfig(ctx)
	require.NoError(t, err)
	config.AbortGrace = ci.Duration(3 * time.Second)
	changed, err := c.PutConfig(ctx, config, config.Version)
	require.NoError(t, err)
	require.Equal(t, config.AbortGrace, changed.AbortGrace)
	_, err = c.PutConfig(ctx, config, config.Version)
	require.Equal(t, ci.CodeStale, ci.CodeOf(err))

	bearer, token, err := c.CreateToken(ctx, ci.Token{Name: "bot", Role: ci.RoleTrigger, Jobs: []string{"hello"}})
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(bearer, "."))
	n := 0
	for _, err := range c.ListTokens(ctx) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 6, n)
	one, err := c.GetToken(ctx, token.ID)
	require.NoError(t, err)
	require.Equal(t, token, one)
	require.NoError(t, c.RevokeToken(ctx, token.ID))
	one, err = c.GetToken(ctx, token.ID)
	require.NoError(t, err)
	require.False(t, one.RevokedAt.IsZero())
	_, err = c.GetToken(ctx, "018f0000-0000-7000-8000-000000000000")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	_, err = s.client(ci.RoleMaintain).GetToken(ctx, token.ID)
	require.Equal(t, ci.CodeForbidden, ci.CodeOf(err), "as the list")
	revoked, err := api.New(api.Config{URL: s.server.URL, Token: bearer})
	require.NoError(t, err)
	_, err = revoked.Queues(ctx)
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err))
}

func TestClientEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.client(ci.RoleRead)
	_, err := s.PutJob(t.Context(), &ci.Job{Name: "hello", Freestyle: []byte(`{"script":"true"}`)}, 0)
	require.NoError(t, err)
	_, _, err = s.Trigger(t.Context(), ci.Trigger{Job: "hello"})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var seen []ci.EventType
	for e, err := range c.Events(ctx, 0) {
		require.NoError(t, err)
		seen = append(seen, e.Type)
		if len(seen) == 1 {
			s.server.CloseClientConnections() // it must go on by itself, and miss nothing
			s.finish(1)
		}
		if e.Type == ci.EventRunDone {
			break
		}
	}
	require.Equal(t, []ci.EventType{ci.EventRunTriggered, ci.EventRunDone}, seen)
}

func TestClientUnreachable(t *testing.T) {
	t.Parallel()
	c, err := api.New(api.Config{URL: "http://127.0.0.1:1", Token: "a.b.c", Retry: -1})
	require.NoError(t, err)
	_, err = c.GetJob(t.Context(), "x")
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	require.ErrorContains(t, err, "127.0.0.1:1 can't be reached")
	_, _, _, _, err = c.OpenResult(t.Context(), "x", 1, "y")
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.GetJob(ctx, "x")
	require.ErrorIs(t, err, context.Canceled)
}

// TestClientResumes cuts the connection of a followed console again and again.
func TestClientResumes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.client(ci.RoleRead)
	_, err := s.PutJob(t.Context(), &ci.Job{Name: "hello", Freestyle: []byte(`{"script":"true"}`)}, 0)
	require.NoError(t, err)
	_, _, err = s.Trigger(t.Context(), ci.Trigger{Job: "hello"})
	require.NoError(t, err)
	body, err := c.Console(t.Context(), "hello", 1, 0, true)
	require.NoError(t, err)
	defer body.Close()
	want := ""
	buf := make([]byte, 100)
	for i := range 5 {
		line := strings.Repeat("x", i) + "\n"
		s.say(1, line)
		want += line
		n, err := io.ReadFull(body, buf[:len(line)])
		require.NoError(t, err)
		require.Equal(t, line, string(buf[:n]))
		s.server.CloseClientConnections()
	}
	s.finish(1)
	rest, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Equal(t, http.StatusOK, s.do("GET", "/jobs/hello/runs/1/results/console", "").status)
}

// Clients of several callers share their connections, and nothing else: none
// speaks with the token of another one, also where that is replaced now and then.
func TestClientAs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	role := ci.RoleTrigger
	first, err := api.New(api.Config{URL: s.server.URL, TokenSource: func() string { return s.bearer[role] }})
	require.NoError(t, err)
	addrs := map[string]bool{}
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { addrs[c.Conn.LocalAddr().String()] = true }})
	says := func(c *api.Client, want ci.Role) {
		t.Helper()
		who, err := c.WhoAmI(ctx)
		require.NoError(t, err)
		require.Equal(t, want, who.Role)
	}
	says(first, ci.RoleTrigger)
	other, err := first.As(s.bearer[ci.RoleRead])
	require.NoError(t, err)
	says(other, ci.RoleRead)
	role = ci.RoleMaintain
	says(first, ci.RoleMaintain)
	require.Len(t, addrs, 1)
	nobody, err := first.As("")
	require.NoError(t, err)
	_, err = nobody.WhoAmI(ctx)
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err))
	_, err = first.As("two words")
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
}
