package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"text/tabwriter"
	"time"

	"ci/pkg/ci"
)

// A day of an autoscaled fleet, simulated by events: runs come by a curve with
// two peaks, an autoscaler sets how many agents there should be, and each agent
// decides by the rules of agentd/admission, which are the same code as in a
// real one. Nothing here sleeps; a day takes seconds.

const (
	day = 24 * time.Hour
	// bootTime is what a new machine takes until its agent pulls.
	bootTime = 60 * time.Second
	// longestRun is the system's limit, and so the grace that a drain needs.
	longestRun = time.Hour
)

// arrival is one run of the day.
type arrival struct {
	at       time.Duration
	class    ci.Quota
	urgent   bool
	duration time.Duration
	use      float64 // share of its quota's cores that it keeps busy
}

// rate is how many runs come a minute, by the time of day: few at night, peaks
// before and after noon.
func rate(at time.Duration) float64 {
	h := at.Hours()
	peak := func(when, width float64) float64 { return math.Exp(-(h - when) * (h - when) / (2 * width * width)) }
	return 1 + 22*peak(10.5, 1.3) + 24*peak(15, 1.7) + 4*peak(3, 0.3) // and what is scheduled for three o'clock
}

// arrivals draws a day's runs: a Poisson process by thinning. Four in five are
// small, durations are log-normal with a median of three minutes, and two in
// five mostly wait for others and hardly use their cores.
func arrivals(seed uint64) []arrival {
	random := rand.New(rand.NewPCG(seed, 0))
	classes := ci.DefaultConfig().Classes
	const most = 60.0 // a minute, above any rate
	var all []arrival
	for at := time.Duration(0); ; {
		at += time.Duration(random.ExpFloat64() * float64(time.Minute) / most)
		if at >= day {
			return all
		}
		if random.Float64()*most > rate(at) {
			continue
		}
		a := arrival{at: at, class: classes[0], use: 0.9, urgent: random.Float64() < 0.05}
		switch p := random.Float64(); {
		case p > 0.95:
			a.class = classes[2]
		case p > 0.80:
			a.class = classes[1]
		}
		if random.Float64() < 0.4 {
			a.use = 0.1
		}
		minutes := 3 * math.Exp(random.NormFloat64())
		a.duration = min(longestRun, max(5*time.Second, time.Duration(minutes*float64(time.Minute))))
		all = append(all, a)
	}
}

// days runs the same day by each policy.
func (s *settings) days(to io.Writer) error {
	runs := arrivals(s.seed)
	fmt.Fprintf(to, "\nA DAY: %d runs, agents of %g cores, %s to start one\n", len(runs), agentSize.CPUs, bootTime)
	w := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "POLICY\twait p50\tp95\tp99\tlongest\tmachine hours\t×\tmost agents\tkilled\tstill waiting")
	base := 0.0
	for _, p := range policies() {
		o := simulate(p, runs, s.seed)
		if o.unfinished > 0 && !p.stalls {
			return fmt.Errorf("policy %s: %d runs were not carried out", p.name, o.unfinished)
		}
		if p.drain && o.killed > 0 {
			return fmt.Errorf("policy %s: %d runs were killed although agents drain", p.name, o.killed)
		}
		if base == 0 {
			base = o.hours
		}
		second := func(q float64) string { return at(o.waits, q).Round(100 * time.Millisecond).String() }
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.0f\t%.2f\t%d\t%d\t%d\n", p.name, second(0.5), second(0.95), second(0.99), second(1), o.hours, o.hours/base, o.most, o.killed, o.unfinished)
	}
	return w.Flush()
}
