package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// morning is the part of a day until ten: the fleet grows, and has shrunk once
// before, after what is scheduled for three o'clock.
func morning(seed uint64) []arrival {
	runs := arrivals(seed)
	for i, r := range runs {
		if r.at > 10*time.Hour {
			return runs[:i]
		}
	}
	return runs
}

// Every run is carried out once unless the policy is known to stall, and a drained agent kills none.
func TestPolicies(t *testing.T) {
	t.Parallel()
	runs := morning(7)
	for _, p := range policies() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			o := simulate(p, runs, 7)
			if p.stalls {
				require.Positive(t, o.unfinished, "full agents whose runs wait for others look idle to it")
			} else {
				require.Zero(t, o.unfinished)
				require.Equal(t, len(runs), len(o.waits))
			}
			require.Positive(t, o.hours)
			if p.drain {
				require.Zero(t, o.killed)
			} else {
				require.Positive(t, o.killed, "the simulation knows what a drain is for")
			}
			for _, w := range o.waits {
				require.GreaterOrEqual(t, w, time.Duration(0))
			}
			again := simulate(p, runs, 7)
			require.Equal(t, o.most, again.most, "the same seed is the same day")
			require.InDelta(t, o.hours, again.hours, 1e-6)
		})
	}
}

func TestScaler(t *testing.T) {
	t.Parallel()
	s := scaler{policy: policy{want: byQueue}}
	require.Equal(t, 4, s.next(measure{agents: 2, waiting: 12}))
	require.Equal(t, 8, s.next(measure{agents: 4, waiting: 99}), "not more than double at a time")
	require.Equal(t, 8, s.next(measure{agents: 8}), "a moment of calm removes nobody")
	for range int(window / period) {
		s.next(measure{agents: 8})
	}
	require.Equal(t, fewest, s.next(measure{agents: 8}))
	require.InDelta(t, 5.0, byCPU(measure{agents: 5, load: cpuTarget * 1.05}), 0, "within the tolerance")
	require.InDelta(t, 10.0, byCPU(measure{agents: 5, load: 2 * cpuTarget}), 1e-9)
}

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := parse([]string{"-agents", "1,2", "-on", ""})
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, s.agents)
	require.Empty(t, s.on)
	for _, bad := range [][]string{{"-agents", "2,1"}, {"-agents", "x"}, {"-on", "oracle"}, {"-runs", "0"}} {
		_, err := parse(bad)
		require.Error(t, err, "%v", bad)
	}
}
