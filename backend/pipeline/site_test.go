package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/pipeline/journal"
	"ci/pkg/ci"
	"ci/pkg/replay"
)

// site is a service with its world, called over HTTP.
type site struct {
	*world
	t       *testing.T
	service *Service
	journal *journal.Journal
	url     string
}

func direct(_ context.Context, in replay.Input) (*replay.Output, error) {
	return replay.Evaluate(in), nil
}

// known are the tokens of all tests.
func known(_ context.Context, bearer string) (*ci.Caller, error) {
	who, ok := map[string]ci.Caller{
		"boss": {Name: "boss", Role: ci.RoleMaintain}, "dev": {Name: "dev", Role: ci.RoleTrigger}, "guest": {Name: "guest", Role: ci.RoleRead},
		"limited": {Name: "limited", Role: ci.RoleMaintain, Jobs: []string{"a"}}, "run": {Name: "run", Role: ci.RoleRun}, "agent": {Name: "agent", Role: ci.RoleAgent},
	}[bearer]
	if !ok {
		return nil, ci.Errorf(ci.CodeUnauthorized, "the token is not known here")
	}
	return &who, nil
}

func openJournal(t *testing.T, url string) *journal.Journal {
	t.Helper()
	if url == "" {
		url = "sqlite:" + filepath.Join(t.TempDir(), "pipelines.db")
	}
	j, err := journal.Open(t.Context(), url, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	return j
}

// newSite makes a service that does not work yet.
func newSite(t *testing.T, w *world, j *journal.Journal, change func(*Config)) *site {
	t.Helper()
	c := Config{Journal: j, API: w, Evaluate: direct, Who: known, Log: slog.New(slog.DiscardHandler), Tick: 20 * time.Millisecond, Look: 50 * time.Millisecond}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	require.NoError(t, err)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return &site{world: w, t: t, service: s, journal: j, url: server.URL}
}

// start lets the service work until the test ends, or stop is called.
func (s *site) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.service.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	s.t.Cleanup(stop)
	return stop
}

func setup(t *testing.T) *site {
	t.Helper()
	s := newSite(t, newWorld(), openJournal(t, ""), nil)
	s.start()
	return s
}

// do calls the API of pipelines and returns the status and the body. headers are names and values.
func (s *site) do(token, method, path string, body any, headers ...string) (int, string) {
	s.t.Helper()
	var in io.Reader
	if body != nil {
		if text, ok := body.(string); ok {
			in = strings.NewReader(text)
		} else {
			b, err := json.Marshal(body)
			require.NoError(s.t, err)
			in = bytes.NewReader(b)
		}
	}
	req, err := http.NewRequest(method, s.url+path, in)
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close() //nolint:errcheck // only read from
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(b)
}

func (s *site) put(name, program string) {
	s.t.Helper()
	status, body := s.do("boss", "PUT", "/pipelines/"+name, map[string]any{"program": program})
	require.Less(s.t, status, 300, body)
}

func (s *site) begin(name string, parameters map[string]string) *ci.PipelineRun {
	s.t.Helper()
	status, body := s.do("dev", "POST", "/pipelines/"+name+"/runs", map[string]any{"parameters": parameters})
	require.Equal(s.t, 201, status, body)
	return s.decode(body)
}

func (s *site) decode(body string) *ci.PipelineRun {
	s.t.Helper()
	var r ci.PipelineRun
	require.NoError(s.t, json.Unmarshal([]byte(body), &r))
	return &r
}

func (s *site) get(r *ci.PipelineRun) *ci.PipelineRun {
	s.t.Helper()
	status, body := s.do("guest", "GET", fmt.Sprintf("/pipelines/%s/runs/%d", r.Pipeline, r.ID), nil)
	require.Equal(s.t, 200, status, body)
	return s.decode(body)
}

// until waits for a state of a run.
func (s *site) until(r *ci.PipelineRun, what string, reached func(*ci.PipelineRun) bool) *ci.PipelineRun {
	s.t.Helper()
	var now *ci.PipelineRun
	require.Eventually(s.t, func() bool {
		now = s.get(r)
		return reached(now)
	}, 3*time.Minute, 10*time.Millisecond, "run %d never was %s", r.ID, what)
	return now
}

func (s *site) done(r *ci.PipelineRun) *ci.PipelineRun {
	s.t.Helper()
	return s.until(r, "done", (*ci.PipelineRun).Finished)
}

// call finds a call that is waited for.
func waiting(kind ci.CallKind) func(*ci.PipelineRun) bool {
	return func(r *ci.PipelineRun) bool {
		for _, c := range r.Calls {
			if c.Kind == kind && !c.Done && (kind != ci.CallRun || c.Run != nil) {
				return true
			}
		}
		return false
	}
}
