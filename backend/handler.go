package backend

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ci/backend/engine"
	"ci/backend/rest"
	"ci/backend/web"
	"ci/pkg/jobfile"
)

// handler joins the API with the rooms behind it.
func (b *Backend) handler(stop <-chan struct{}) (http.Handler, error) {
	c := rest.Config{
		Engine: b.Engine, Work: b.Engine, Store: records{b.Store}, Bus: b.Queue.Bus(), Auth: b.Auth, Secrets: b.Secrets.Store, Registries: b.Secrets.Registries, SSHKeys: b.Secrets.SSHKeys, Forges: b.Secrets.Forges, EventTriggers: records{b.Store}, ScanHost: b.Source.ScanHost,
		Console: b.Engine.Console(), Blobs: b.Blobs, ResultKey: engine.ResultKey,
		CheckSpec: jobfile.ParseFreestyle,
		CheckURL:  func(_ context.Context, url string) error { return b.Source.CheckURL(url) },
		Trace:     b.traces.Of,
		Ready:     b.Check, Warnings: b.Queue.Warnings, Schema: jobfile.Schema(), Hosts: b.config.Hosts, Log: b.config.Log, Stop: stop,
		Layers: map[string]http.Handler{"/pipelines": b.Pipelines.Handler()},
	}
	door, err := b.signIn()
	if err != nil {
		return nil, err
	}
	c.Doors = map[string]http.Handler{"/sign-in": door}
	if reg := b.config.Metrics; reg != nil {
		c.Metrics = promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
		c.Observe = newRequests(reg).observe
	}
	h, err := rest.New(c)
	if err != nil {
		return nil, err
	}
	return b.withPages(h, stop)
}

// withPages adds the pages for people. They know the API alone, and call it as anybody would.
func (b *Backend) withPages(h http.Handler, stop <-chan struct{}) (http.Handler, error) {
	// All cids sign tokens with one key, so all of them open the cookies of each other.
	key, err := hkdf.Key(sha256.New, b.config.Key.Seed(), nil, "ci pages session", 32)
	if err != nil {
		return nil, err
	}
	pages, err := web.New(web.Config{
		API: h, Transport: b.inside, SessionKey: key, URL: b.config.URL, Stop: stop, Log: b.config.Log,
	})
	if err != nil {
		return nil, err
	}
	return b.traces.Handler(pages.Handler()), nil
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
