package admission

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func lane(name string) ci.Lane {
	class, priority, _ := strings.Cut(name, ".")
	return ci.Lane{Class: class, Priority: ci.Priority(priority)}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	four := ci.Quota{CPUs: 4, Memory: 16 << 30}
	cases := map[string]struct {
		stop       string
		offered    ci.Quota
		held       []ci.Quota
		waiting    map[string]time.Duration
		othersKeep bool
		lanes      string
		refused    string // class: sentence
	}{
		"empty":   {offered: four, lanes: "large.urgent medium.urgent small.urgent large.normal medium.normal small.normal"},
		"stopped": {offered: four, stop: "the agent is draining", refused: "small: the agent is draining"},
		"half full": {
			offered: four, held: []ci.Quota{{CPUs: 2, Memory: 4 << 30}}, lanes: "medium.urgent small.urgent medium.normal small.normal",
			refused: "large: 2 of 4 cpus are free; class large takes 4",
		},
		"no memory": {
			offered: four, held: []ci.Quota{{CPUs: 1, Memory: 13 << 30}}, lanes: "small.urgent small.normal",
			refused: "medium: 3GiB of 16GiB memory are free; class medium takes 4GiB",
		},
		"full": {offered: four, held: []ci.Quota{four}, refused: "small: 0 of 4 cpus are free; class small takes 1"},
		"too small for ever": {
			offered: ci.Quota{CPUs: 2, Memory: 16 << 30}, lanes: "medium.urgent small.urgent medium.normal small.normal",
			waiting: map[string]time.Duration{"large.normal": time.Hour},
			refused: "large: the agent offers 2 cpus and 16GiB in all; class large takes 4 and 8GiB",
		},
		"rounding": {offered: ci.Quota{CPUs: 0.1 + 0.2 + 1, Memory: 16 << 30}, held: []ci.Quota{{CPUs: 0.3}}, lanes: "small.urgent small.normal"},
		"patience not over": {
			offered: four, held: []ci.Quota{{CPUs: 1}}, waiting: map[string]time.Duration{"large.normal": 29 * time.Second},
			lanes: "medium.urgent small.urgent medium.normal small.normal",
		},
		"room is kept for large, urgent ones go on": {
			offered: four, held: []ci.Quota{{CPUs: 1}}, waiting: map[string]time.Duration{"large.normal": 31 * time.Second},
			lanes: "medium.urgent small.urgent", refused: "small: room is kept for a run of class large that has waited for 31s",
		},
		"another agent keeps room for large": {
			offered: four, held: []ci.Quota{{CPUs: 1}}, waiting: map[string]time.Duration{"large.normal": time.Hour}, othersKeep: true,
			lanes:   "medium.urgent small.urgent medium.normal small.normal",
			refused: "large: 3 of 4 cpus are free; class large takes 4",
		},
		"a large run is waited for by nobody": {
			offered: ci.Quota{CPUs: 6, Memory: 32 << 30}, held: []ci.Quota{{CPUs: 4, Memory: 8 << 30}, {CPUs: 1, Memory: 2 << 30}},
			waiting: map[string]time.Duration{"large.normal": time.Hour}, lanes: "small.urgent small.normal",
		},
		"beside a large run there is room for another": {
			offered: ci.Quota{CPUs: 8, Memory: 32 << 30}, held: []ci.Quota{{CPUs: 4, Memory: 8 << 30}, {CPUs: 1, Memory: 2 << 30}},
			waiting: map[string]time.Duration{"large.normal": time.Hour}, lanes: "medium.urgent small.urgent",
		},
		"room is kept for an urgent large": {
			offered: four, held: []ci.Quota{{CPUs: 1}}, waiting: map[string]time.Duration{"large.urgent": 31 * time.Second},
			refused: "medium: room is kept for a run of class large that has waited for 31s",
		},
		"the longest wait is kept for": {
			offered: four, held: []ci.Quota{{CPUs: 3}}, waiting: map[string]time.Duration{"large.normal": 40 * time.Second, "medium.normal": 50 * time.Second},
			lanes: "small.urgent", refused: "small: room is kept for a run of class medium that has waited for 50s",
		},
		"it fits now and comes first": {
			offered: four, waiting: map[string]time.Duration{"small.normal": 31 * time.Second},
			lanes: "large.urgent medium.urgent small.urgent small.normal large.normal medium.normal",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := Situation{
				Stop: c.stop, Classes: ci.DefaultConfig().Classes, Offered: c.offered, Held: c.held,
				Patience: 30 * time.Second, Waiting: map[ci.Lane]time.Duration{}, Kept: map[ci.Lane]bool{},
			}
			for name, d := range c.waiting {
				in.Waiting[lane(name)] = d
				in.Kept[lane(name)] = !c.othersKeep
			}
			lanes, refusals := in.Decide()
			var names []string
			for _, l := range lanes {
				names = append(names, l.String())
			}
			require.Equal(t, c.lanes, strings.Join(names, " "))
			if c.refused != "" {
				class, why, _ := strings.Cut(c.refused, ": ")
				require.Equal(t, why, refusals[class])
			}
			for class := range refusals {
				require.NotContains(t, names, class+".normal")
			}
		})
	}
}
