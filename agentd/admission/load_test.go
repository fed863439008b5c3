package admission

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// second is what one second on a machine of two cores looks like.
type second struct {
	busy    float64 // cores that work
	held    float64 // cores that runs hold
	cpu, io float64 // stalls
	memory  int64   // free, MiB
	disk    int64   // free, MiB
}

// ran is the gate after so many seconds of each kind.
func ran(spans ...any) Gate {
	const cores = 2
	var l Load
	var g Gate
	s := Sample{Cores: cores, MemoryTotal: 8 << 30, DiskTotal: 1 << 40}
	now := time.Unix(0, 0)
	var held ci.Quota
	for i := 0; i < len(spans); i += 2 {
		n, kind := spans[i].(int), spans[i+1].(second)
		for range n {
			now = now.Add(time.Second)
			s.CPUTotal += 1000
			s.CPUBusy += uint64(1000 * kind.busy / cores)
			s.CPUStall, s.IOStall = kind.cpu, kind.io
			s.MemoryFree, s.DiskFree = kind.memory<<20, kind.disk<<20
			held = ci.Quota{CPUs: kind.held, Memory: int64(kind.held) << 30}
			l.Observe(now, s, held)
			g.Look(l, s, held, Limits{Threshold: 0.85, Memory: 256 << 20, Disk: 1 << 30})
		}
	}
	return g
}

func TestGate(t *testing.T) {
	t.Parallel()
	fine := second{memory: 8000, disk: 9000}
	with := func(change func(*second)) second { s := fine; change(&s); return s }
	own4 := with(func(s *second) { s.busy, s.held = 2, 4 })
	cases := map[string]struct {
		spans []any
		want  string // part of the refusal; "" is open
	}{
		"idle":                             {[]any{10, fine}, ""},
		"a neighbour's load":               {[]any{30, with(func(s *second) { s.busy = 2 })}, "the CPU load is 100 % of 2 cores"},
		"a short peak":                     {[]any{20, fine, 3, with(func(s *second) { s.busy = 2 })}, ""},
		"own runs fill it":                 {[]any{20, fine, 30, with(func(s *second) { s.busy, s.held = 2, 2 })}, ""},
		"own runs overfill it":             {[]any{20, fine, 30, own4}, ""},
		"one of four just ended":           {[]any{20, fine, 30, own4, 1, with(func(s *second) { s.busy, s.held = 2, 3 })}, ""},
		"just claimed on an idle machine":  {[]any{20, fine, 1, with(func(s *second) { s.held = 1 })}, ""},
		"filled in one go":                 {[]any{20, fine, 1, with(func(s *second) { s.held = 4 })}, ""},
		"just claimed beside a neighbour":  {[]any{30, with(func(s *second) { s.busy = 1.2 }), 1, with(func(s *second) { s.busy, s.held = 1.2, 1 })}, "the CPU load is 100 %"},
		"it turned out to be idle":         {[]any{30, with(func(s *second) { s.busy = 1.2 }), 20, with(func(s *second) { s.busy, s.held = 1.2, 1 })}, ""},
		"own and a neighbour":              {[]any{30, with(func(s *second) { s.busy, s.held = 2, 1 })}, "the CPU load is 100 %"},
		"hysteresis holds":                 {[]any{30, with(func(s *second) { s.busy = 2 }), 30, with(func(s *second) { s.busy = 1.6 })}, "the CPU load is 80 %"},
		"hysteresis ends":                  {[]any{30, with(func(s *second) { s.busy = 2 }), 30, with(func(s *second) { s.busy = 1.4 })}, ""},
		"1.6 alone is fine":                {[]any{30, with(func(s *second) { s.busy = 1.6 })}, ""},
		"cpu stall of others":              {[]any{30, with(func(s *second) { s.busy, s.cpu = 1.6, 0.9 })}, "for 90 % of the time a task waits for a CPU"},
		"cpu stall of own runs":            {[]any{30, with(func(s *second) { s.busy, s.held, s.cpu = 2, 4, 0.9 })}, ""},
		"io stall":                         {[]any{30, with(func(s *second) { s.io = 0.85 })}, "for 85 % of the time everything waits for disks"},
		"memory":                           {[]any{30, with(func(s *second) { s.memory = 200 })}, "200MiB of memory are free, counting what was claimed just now; the floor is 256MiB"},
		"memory of what was just claimed":  {[]any{30, with(func(s *second) { s.memory = 1200 }), 1, with(func(s *second) { s.memory, s.held = 1200, 2 })}, "the floor is 256MiB"},
		"disk":                             {[]any{30, with(func(s *second) { s.disk = 1000 })}, "1000MiB of disk are free; the floor is 1GiB"},
		"disk: hysteresis":                 {[]any{3, with(func(s *second) { s.disk = 1000 }), 3, with(func(s *second) { s.disk = 1100 })}, "the floor is 1GiB"},
		"a floor is not the ceiling again": {[]any{3, with(func(s *second) { s.disk = 1000 }), 3, fine}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := ran(c.spans...)
			if c.want == "" {
				require.Empty(t, g.Closed)
			} else {
				require.Contains(t, g.Closed, c.want)
			}
		})
	}
}
