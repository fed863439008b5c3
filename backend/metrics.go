package backend

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ci/pkg/ci"
)

// phases measures how long runs stay in each phase.
type phases struct {
	seconds *prometheus.HistogramVec
	done    *prometheus.CounterVec
}

// newPhases registers the metrics; reg nil measures without showing.
func newPhases(reg *prometheus.Registry) *phases {
	p := &phases{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ci_run_phase_seconds", Help: "How long done runs stayed in each phase.",
			Buckets: []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14400},
		}, []string{"phase"}),
		done: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ci_runs_done_total", Help: "Runs that ended, by outcome.",
		}, []string{"outcome"}),
	}
	if reg != nil {
		reg.MustRegister(p.seconds, p.done)
	}
	for _, o := range ci.Outcomes {
		p.done.WithLabelValues(string(o))
	}
	for _, ph := range ci.Phases {
		p.seconds.WithLabelValues(string(ph))
	}
	return p
}

// observe notes every phase that a done run went through.
func (p *phases) observe(r *ci.Run) {
	p.done.WithLabelValues(string(r.Outcome)).Inc()
	t := r.Times
	for _, ph := range []struct {
		phase    ci.Phase
		from, to time.Time
	}{
		{ci.PhasePlanning, t.Triggered, first(t.Queued, t.Done)},
		{ci.PhaseQueued, t.Queued, first(t.Claimed, t.Done)},
		{ci.PhasePreparing, t.Claimed, first(t.Started, t.Done)},
		{ci.PhaseRunning, t.Started, first(t.Collecting, t.Done)},
		{ci.PhaseCollecting, t.Collecting, t.Done},
	} {
		if !ph.from.IsZero() {
			p.seconds.WithLabelValues(string(ph.phase)).Observe(ph.to.Sub(ph.from).Seconds())
		}
	}
}

// first returns the first time that is set.
func first(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}
