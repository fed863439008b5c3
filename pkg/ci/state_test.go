package ci_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestEveryPhaseIsReached(t *testing.T) {
	t.Parallel()
	reached := map[ci.Phase]bool{ci.Phases[0]: true}
	for range ci.Phases {
		for _, tr := range ci.Transitions {
			if reached[tr.From] && tr.To.Phase != "" {
				reached[tr.To.Phase] = true
			}
		}
	}
	for _, p := range ci.Phases {
		require.True(t, reached[p], "no way leads to %s", p)
	}
	require.Len(t, reached, len(ci.Phases), "a transition names a phase that is not in Phases")
}

// Phases only go on: a run that has started is never started again.
func TestPhasesOnlyGoOn(t *testing.T) {
	t.Parallel()
	for _, tr := range ci.Transitions {
		from := slices.Index(ci.Phases, tr.From)
		require.NotEqual(t, -1, from, "%v starts nowhere", tr)
		require.NotEqual(t, tr.To.Phase == "", tr.To.Outcome == "", "%v must have exactly one of phase and outcome", tr)
		if tr.To.Phase != "" {
			require.Equal(t, from+1, slices.Index(ci.Phases, tr.To.Phase), "%v does not lead to the next phase", tr)
		} else {
			require.Contains(t, ci.Outcomes, tr.To.Outcome)
		}
		require.NotEmpty(t, tr.By, "%v", tr)
		require.NotEmpty(t, tr.When, "%v", tr)
	}
}

func TestTransitionsAreThereOnce(t *testing.T) {
	t.Parallel()
	seen := map[ci.Transition]bool{}
	for _, tr := range ci.Transitions {
		key := ci.Transition{From: tr.From, To: tr.To}
		require.False(t, seen[key], "%s to %v is there twice", tr.From, tr.To)
		seen[key] = true
	}
}

func TestEveryPhaseCanEnd(t *testing.T) {
	t.Parallel()
	for _, p := range ci.Phases {
		require.True(t, ci.Allowed(p, ci.State{Outcome: ci.OutcomeAborted}), "a run can't be aborted in %s", p)
	}
	for _, o := range ci.Outcomes {
		require.NotEmpty(t, ci.PhasesBefore(ci.State{Outcome: o}), "nothing ends as %s", o)
	}
}

// Only what an agent holds can be lost, time out, or tell how a script ended.
func TestOutcomesFitTheirPhases(t *testing.T) {
	t.Parallel()
	held := []ci.Phase{ci.PhasePreparing, ci.PhaseRunning, ci.PhaseCollecting}
	ran := []ci.Phase{ci.PhaseRunning, ci.PhaseCollecting}
	require.Equal(t, held, ci.PhasesBefore(ci.State{Outcome: ci.OutcomeLost}))
	require.Equal(t, held, ci.PhasesBefore(ci.State{Outcome: ci.OutcomeTimedOut}))
	require.Equal(t, ran, ci.PhasesBefore(ci.State{Outcome: ci.OutcomeSucceeded}))
	require.Equal(t, ran, ci.PhasesBefore(ci.State{Outcome: ci.OutcomeFailed}))
}

// A move that the table does not list is refused, whatever its ends are.
func TestAllowedIsTheTable(t *testing.T) {
	t.Parallel()
	var states []ci.State
	for _, p := range ci.Phases {
		states = append(states, ci.State{Phase: p})
	}
	for _, o := range ci.Outcomes {
		states = append(states, ci.State{Outcome: o})
	}
	allowed := 0
	for _, from := range append(slices.Clone(ci.Phases), "", "nowhere") {
		for _, to := range append(slices.Clone(states), ci.State{}, ci.State{Phase: "nowhere"}) {
			if ci.Allowed(from, to) {
				allowed++
			}
		}
	}
	require.Len(t, ci.Transitions, allowed)
}

func TestReached(t *testing.T) {
	t.Parallel()
	run := func(p ci.Phase, started bool) *ci.Run {
		return &ci.Run{Status: ci.StatusInProgress, Phase: p, ScriptStarted: started}
	}
	done := &ci.Run{Status: ci.StatusDone, Phase: ci.PhasePlanning, Outcome: ci.OutcomeError}
	for _, c := range []struct {
		name  string
		run   *ci.Run
		until ci.Until
		want  bool
	}{
		{"planning is not planned", run(ci.PhasePlanning, false), ci.UntilPlanned, false},
		{"queued is planned", run(ci.PhaseQueued, false), ci.UntilPlanned, true},
		{"preparing has not started", run(ci.PhasePreparing, false), ci.UntilStarted, false},
		{"running has started", run(ci.PhaseRunning, true), ci.UntilStarted, true},
		{"collecting is not done", run(ci.PhaseCollecting, true), ci.UntilDone, false},
		{"done is everything", done, ci.UntilStarted, true},
		{"done is done", done, ci.UntilDone, true},
		{"an unknown word is never reached", run(ci.PhaseRunning, true), "later", false},
	} {
		require.Equal(t, c.want, c.run.Reached(c.until), c.name)
	}
}
