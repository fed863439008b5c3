package backend

import (
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
	for _, ph := range r.PhaseTimes() {
		p.seconds.WithLabelValues(string(ph.Phase)).Observe(ph.To.Sub(ph.From).Seconds())
	}
}
