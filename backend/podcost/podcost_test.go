package podcost

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// apiServer is an API server that knows some pods, and patches as documented.
type apiServer struct {
	*httptest.Server
	pods   map[string]string // by name, their costs
	calls  int
	status int // answered instead; 0 answers
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.calls++
	if s.status != 0 {
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, `{"kind":"Status","message":"pods is forbidden"}`)
		return
	}
	name := r.PathValue("pod")
	_, there := s.pods[name]
	if !there || r.PathValue("ns") != "builds" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var body struct {
		Metadata struct{ Annotations map[string]string }
	}
	if r.Header.Get("Authorization") != "Bearer let-me-in" || r.Header.Get("Content-Type") != "application/merge-patch+json" ||
		json.NewDecoder(r.Body).Decode(&body) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.pods[name] = body.Metadata.Annotations["controller.kubernetes.io/pod-deletion-cost"]
}

func setup(t *testing.T, pods ...string) (*apiServer, *Keeper, *[]ci.Agent) {
	t.Helper()
	s := &apiServer{pods: map[string]string{}}
	for _, p := range pods {
		s.pods[p] = ""
	}
	mux := http.NewServeMux()
	mux.Handle("PATCH /api/v1/namespaces/{ns}/pods/{pod}", s)
	s.Server = httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte("let-me-in\n"), 0o600))
	cluster, err := Open(s.URL, "builds", dir)
	require.NoError(t, err)
	agents := &[]ci.Agent{}
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	return s, New(Config{
		Cluster: cluster, TTL: time.Minute, Log: slog.New(slog.DiscardHandler),
		Agents: func(context.Context) ([]ci.Agent, error) { return *agents, nil },
		Now:    func() time.Time { return now },
		Lead:   func(context.Context, string, time.Duration) (bool, error) { return true, nil },
	}), agents
}

func agent(k *Keeper, id string, runs ...int64) ci.Agent {
	return ci.Agent{ID: id, Runs: runs, SeenAt: k.Now()}
}

func TestPodsCostTheirRuns(t *testing.T) {
	t.Parallel()
	s, k, agents := setup(t, "busy", "idle", "leaving", "silent")
	leaving, silent := agent(k, "leaving"), agent(k, "silent", 1, 2, 3)
	leaving.Draining = true
	silent.SeenAt = k.Now().Add(-time.Hour)
	*agents = []ci.Agent{agent(k, "busy", 7, 8), agent(k, "idle"), leaving, silent, agent(k, "a-laptop", 9)}
	require.NoError(t, k.round(t.Context()))
	require.Equal(t, map[string]string{"busy": "200", "idle": "0", "leaving": "-50", "silent": ""}, s.pods)
	require.Equal(t, 4, s.calls)

	// Only what has changed is written, and an agent that is no pod is not tried again.
	(*agents)[0] = agent(k, "busy", 8)
	require.NoError(t, k.round(t.Context()))
	require.Equal(t, "100", s.pods["busy"])
	require.Equal(t, 5, s.calls)

	// A pod that went and came again starts anew.
	*agents = (*agents)[:1]
	require.NoError(t, k.round(t.Context()))
	*agents = append(*agents, agent(k, "idle"))
	require.NoError(t, k.round(t.Context()))
	require.Equal(t, 6, s.calls)
}

func TestOneCidWrites(t *testing.T) {
	t.Parallel()
	s, k, agents := setup(t, "busy")
	*agents = []ci.Agent{agent(k, "busy", 1)}
	lead := false
	k.Lead = func(_ context.Context, holder string, _ time.Duration) (bool, error) {
		require.Equal(t, k.holder, holder)
		return lead, nil
	}
	require.NoError(t, k.round(t.Context()))
	require.Zero(t, s.calls)
	lead = true
	require.NoError(t, k.round(t.Context()))
	require.Equal(t, "100", s.pods["busy"])

	// What another one wrote meanwhile is written over.
	lead = false
	require.NoError(t, k.round(t.Context()))
	s.pods["busy"], lead = "0", true
	require.NoError(t, k.round(t.Context()))
	require.Equal(t, "100", s.pods["busy"])
}

func TestWhatGoesWrongIsTold(t *testing.T) {
	t.Parallel()
	s, k, agents := setup(t, "busy")
	*agents = []ci.Agent{agent(k, "busy", 1)}
	s.status = http.StatusForbidden
	require.ErrorContains(t, k.round(t.Context()), "does not let cid's service account patch pods in the namespace builds: pods is forbidden")
	s.status = http.StatusInternalServerError
	require.ErrorContains(t, k.round(t.Context()), "500")
	s.status = 0
	require.NoError(t, k.round(t.Context()))
	require.Equal(t, "100", s.pods["busy"], "a failed round is made up for")

	k.Lead = func(context.Context, string, time.Duration) (bool, error) { return false, errors.New("no database") }
	require.ErrorContains(t, k.round(t.Context()), "no database")

	_, err := Open("https://x", "builds", t.TempDir())
	require.ErrorContains(t, err, "service account")
}
