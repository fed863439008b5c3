package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
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

// pipelineKey is the key of the one pipeline's run, with which the keys of its triggers begin.
func (s *site) pipelineKey() string {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.triggered {
		key, _, _ = strings.Cut(key, "/")
		require.NoError(s.t, uuid.Validate(key))
		return key
	}
	require.Fail(s.t, "nothing was triggered")
	return ""
}

// pinsOf lists the names of a run's pins.
func (s *site) pinsOf(job string, run int64) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pins[ci.RunRef{Job: job, Run: run}])
}

// TestPinsTellNoKey has no key in the name of a pin: a run's script may read those of its run.
func TestPinsTellNoKey(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.held["long"] = true
	s.put("p", "run('long')")
	r := s.until(s.begin("p", nil), "waiting", waiting(ci.CallRun))
	eventually(t, "it is pinned", func() bool { return fmt.Sprint(s.pinned()) == "[long]" })
	require.Len(t, s.pinsOf("long", 1), 1)
	require.NotContains(t, s.pinsOf("long", 1)[0], s.pipelineKey())
	s.finish("long", ci.OutcomeSucceeded)
	s.done(r)
	eventually(t, "the end takes pins away", func() bool { return len(s.pinned()) == 0 })
}

// TestPinsOfAnEarlierRelease has a pipeline go on over an upgrade: pins that are named
// by the bare key go with the others at its end.
func TestPinsOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.held["long"] = true
	s.put("p", "run('a')\nrun('long')")
	r := s.until(s.begin("p", nil), "waiting for the long one", func(r *ci.PipelineRun) bool { return len(s.jobs()) == 2 && waiting(ci.CallRun)(r) })
	eventually(t, "both are pinned", func() bool { return fmt.Sprint(s.pinned()) == "[a long]" })
	old := "pipeline-" + s.pipelineKey()
	s.mu.Lock()
	for _, c := range r.Calls {
		if c.Run.Job == "a" {
			s.pins[*c.Run] = []string{old} // before the upgrade
		} else {
			s.pins[*c.Run] = append(s.pins[*c.Run], old)
		}
	}
	s.mu.Unlock()
	require.Equal(t, "[a long long]", fmt.Sprint(s.pinned()))
	s.finish("long", ci.OutcomeSucceeded)
	s.done(r)
	eventually(t, "the end takes pins of both names away", func() bool { return len(s.pinned()) == 0 })
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
