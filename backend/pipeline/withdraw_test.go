package pipeline

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// away is a site whose API can be taken away: before triggers have an effect, or
// after it, when only their answers are lost. Pauses pass in no time.
func away(t *testing.T, program string, lost bool) (s *site, r *ci.PipelineRun, back func()) {
	t.Helper()
	w := newWorld()
	s = newSite(t, w, openJournal(t, ""), nil)
	var gone atomic.Bool
	gone.Store(true)
	triggers := make(chan struct{}, 1)
	fail := func(operation string) error {
		if !gone.Load() || operation == "config" {
			return nil
		}
		if operation == "trigger" {
			select {
			case triggers <- struct{}{}:
			default:
			}
		}
		return ci.Errorf(ci.CodeUnavailable, "the API is away")
	}
	w.before = fail
	if lost {
		w.before = func(operation string) error {
			if operation == "trigger" {
				return nil
			}
			return fail(operation)
		}
		w.after = func(operation string) error {
			if operation != "trigger" {
				return nil
			}
			return fail(operation)
		}
	}
	s.quickly()
	w.held["deploy"] = true
	s.start()
	s.put("p", program)
	r = s.begin("p", nil)
	select {
	case <-triggers:
	case <-time.After(time.Minute):
		require.Fail(t, "nothing was triggered")
	}
	return s, r, func() { gone.Store(false) }
}

func (s *site) abort(r *ci.PipelineRun) {
	s.t.Helper()
	status, body := s.do("dev", "POST", fmt.Sprintf("/pipelines/p/runs/%d/abort", r.ID), nil)
	require.Equal(s.t, 200, status, body)
}

// A run that could not be triggered while the API was away is not triggered once
// the pipeline has been aborted.
func TestNothingBeginsAfterAnAbort(t *testing.T) {
	t.Parallel()
	s, r, back := away(t, "all(run('deploy'))", false)
	s.abort(r)
	back()
	r = s.done(r)
	require.Equal(t, ci.OutcomeAborted, r.Outcome)
	require.Empty(t, s.jobs())
	require.Equal(t, ci.OutcomeAborted, r.Calls[0].Outcome)
	require.Equal(t, "the pipeline ended before it was triggered", r.Calls[0].Reason)
	require.Nil(t, r.Calls[0].Run)
}

// A run whose trigger had an effect, though its answer was lost, is found and aborted.
func TestALostTriggerIsAborted(t *testing.T) {
	t.Parallel()
	s, r, back := away(t, "all(run('deploy'))", true)
	s.abort(r)
	back()
	r = s.done(r)
	require.Equal(t, ci.OutcomeAborted, r.Outcome)
	require.Equal(t, []string{"deploy"}, s.jobs())
	require.Equal(t, &ci.RunRef{Job: "deploy", Run: 1}, r.Calls[0].Run)
	require.Equal(t, ci.OutcomeAborted, r.Calls[0].Outcome)
	require.Equal(t, 1, s.aborts)
	require.Empty(t, s.pinned())
}

// A run that could not be triggered is not triggered once another one has failed,
// though the two become known at the same moment.
func TestNothingBeginsAfterAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := newSite(t, w, openJournal(t, ""), nil)
	s.quickly()
	w.held["bad"], w.unreachable["deploy"] = true, true
	var ready atomic.Bool
	w.before = func(operation string) error {
		if operation == "get" && ready.Swap(false) {
			require.Equal(t, 1, s.finish("bad", ci.OutcomeFailed))
			w.mu.Lock()
			defer w.mu.Unlock()
			w.unreachable["deploy"] = false
		}
		return nil
	}
	s.start()
	s.put("p", "all([run('bad'), run('deploy')], fail_fast = True)")
	r := s.until(s.begin("p", nil), "half begun", waiting(ci.CallRun))
	ready.Store(true)
	r = s.done(r)
	require.Equal(t, ci.OutcomeFailed, r.Outcome)
	require.Equal(t, []string{"bad"}, s.jobs())
	require.Equal(t, ci.OutcomeAborted, r.Calls[1].Outcome)
}

// A result that can't be read at the moment keeps no other branch from beginning.
func TestOneThatIsStuckKeepsNobodyBack(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := newSite(t, w, openJournal(t, ""), nil)
	s.quickly()
	w.results["build:version"] = "7"
	var back atomic.Bool
	w.before = func(operation string) error {
		if operation == "results" && !back.Load() {
			return ci.Errorf(ci.CodeUnavailable, "the objects are away")
		}
		return nil
	}
	s.start()
	s.put("p", `
def stuck():
    return result(run("build"), "version").text

def free():
    run("lint").ok
    return run("deploy").ok

all([stuck, free])
`)
	r := s.begin("p", nil)
	eventually(t, "the other branch goes to its end", func() bool { return slices.Contains(s.jobs(), "deploy") })
	r = s.get(r)
	require.False(t, r.Finished())
	back.Store(true)
	require.Equal(t, ci.OutcomeSucceeded, s.done(r).Outcome)
}

// While a pipeline ends, a run that can't be aborted at the moment keeps no trigger
// from being withdrawn.
func TestOneThatIsStuckKeepsNoTrigger(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := newSite(t, w, openJournal(t, ""), nil)
	s.quickly()
	w.held["long"], w.unreachable["deploy"] = true, true
	var back atomic.Bool
	withdrawn := make(chan struct{}, 1)
	w.before = func(operation string) error {
		switch {
		case operation == "abort" && !back.Load():
			return ci.Errorf(ci.CodeUnavailable, "not at the moment")
		case operation == "withdraw":
			select {
			case withdrawn <- struct{}{}:
			default:
			}
		}
		return nil
	}
	s.start()
	s.put("p", "all([run('long'), run('deploy')])")
	r := s.until(s.begin("p", nil), "half begun", waiting(ci.CallRun))
	s.abort(r)
	select {
	case <-withdrawn:
	case <-time.After(time.Minute):
		require.Fail(t, "the trigger was not withdrawn")
	}
	back.Store(true)
	r = s.done(r)
	require.Equal(t, ci.OutcomeAborted, r.Outcome)
	require.Equal(t, []string{"long"}, s.jobs())
}

// quickly has pauses pass in no time.
func (s *site) quickly() {
	began, clock := time.Now(), new(atomic.Int64)
	s.service.Now = func() time.Time { return began.Add(time.Duration(clock.Add(int64(100 * time.Millisecond)))) }
}
