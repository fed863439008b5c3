package pipeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// eventually waits for something that a worker does after all that can be seen otherwise.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	require.Eventually(t, yes, time.Minute, 5*time.Millisecond, what)
}

// TestPinsWhatItRefersTo has runs pinned while a pipeline goes on, those that
// it has from an earlier run included, and no longer.
func TestPinsWhatItRefersTo(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.held["long"] = true
	s.put("p", "run('a')\nall([run('b'), run('long')])")
	r := s.until(s.begin("p", nil), "waiting for the long one", func(r *ci.PipelineRun) bool { return len(s.jobs()) == 3 && waiting(ci.CallRun)(r) })
	eventually(t, "all three are pinned", func() bool { return fmt.Sprint(s.pinned()) == "[a b long]" })
	s.finish("long", ci.OutcomeFailed)
	r = s.done(r)
	eventually(t, "the end takes pins away", func() bool { return len(s.pinned()) == 0 })

	status, body := s.do("dev", "POST", fmt.Sprintf("/pipelines/p/runs/%d/rerun", r.ID), `{"failed":true}`)
	require.Equal(t, 201, status, body)
	eventually(t, "what is reused is pinned too", func() bool { return len(s.jobs()) == 4 && fmt.Sprint(s.pinned()) == "[a b long]" })
	s.finish("long", ci.OutcomeSucceeded)
	eventually(t, "the end takes pins away", func() bool { return len(s.pinned()) == 0 })
}

// TestUnpinnable has a server that allows no pins: pipelines go on as before there were any.
func TestUnpinnable(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.before = func(operation string) error {
		if operation == "pin" {
			return ci.Errorf(ci.CodeForbidden, "no pins")
		}
		return nil
	}
	s := newSite(t, w, openJournal(t, ""), nil)
	s.start()
	s.put("p", "run('a')")
	require.Equal(t, ci.OutcomeSucceeded, s.done(s.begin("p", nil)).Outcome)
}

// TestOldRunsAreForgotten goes by the server's bound for all runs.
func TestOldRunsAreForgotten(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.put("p", "run('a')")
	old := s.done(s.begin("p", nil))
	require.NoError(t, s.service.prune(t.Context()))
	path := fmt.Sprintf("/pipelines/p/runs/%d", old.ID)
	status, _ := s.do("dev", "GET", path, nil)
	require.Equal(t, 200, status, "without a bound all are kept")
	s.mu.Lock()
	s.config.Retention = 1
	s.mu.Unlock()
	require.NoError(t, s.service.prune(t.Context()))
	status, _ = s.do("dev", "GET", path, nil)
	require.Equal(t, 404, status)
}
