package backend

import (
	"context"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ci/backend/engine"
	"ci/backend/rest"
	"ci/pkg/jobfile"
)

// handler joins the API with the rooms behind it.
func (b *Backend) handler(stop <-chan struct{}) (http.Handler, error) {
	c := rest.Config{
		Engine: b.Engine, Store: records{b.Store}, Bus: b.Queue.Bus(), Auth: b.Auth, Secrets: b.Secrets.Store, Registries: b.Secrets.Registries, SSHKeys: b.Secrets.SSHKeys, ScanHost: b.Source.ScanHost,
		Console: b.Engine.Console(), Blobs: b.Blobs, ResultKey: engine.ResultKey,
		CheckSpec: jobfile.ParseFreestyle,
		CheckURL:  func(_ context.Context, url string) error { return b.Source.CheckURL(url) },
		Ready:     b.Check, Schema: jobfile.Schema(), Hosts: b.config.Hosts, Log: b.config.Log, Stop: stop,
	}
	if reg := b.config.Metrics; reg != nil {
		c.Metrics = promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
		c.Observe = newRequests(reg).observe
	}
	return rest.New(c)
}

// requests measures answers by route.
type requests struct{ seconds *prometheus.HistogramVec }

func newRequests(reg *prometheus.Registry) *requests {
	r := &requests{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ci_http_request_seconds", Help: "How long answers took that were not held on purpose.",
		Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5},
	}, []string{"route", "method", "status"})}
	reg.MustRegister(r.seconds)
	return r
}

func (r *requests) observe(o rest.Observation) {
	if !o.Held {
		r.seconds.WithLabelValues(o.Route, o.Method, strconv.Itoa(o.Status)).Observe(o.Duration.Seconds())
	}
}
