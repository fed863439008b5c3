// Package backend is the door of the house: it opens the rooms, joins them,
// and runs them. cmd/cid serves its Handler.
package backend

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"ci/backend/auth"
	"ci/backend/blob"
	"ci/backend/blob/file"
	"ci/backend/blob/s3"
	"ci/backend/engine"
	"ci/backend/inprocess"
	"ci/backend/podcost"
	"ci/backend/source"
	"ci/backend/store"
	"ci/backend/trace"
	"ci/pkg/ci"
)

// Config is where a Backend's parts live.
type Config struct {
	// Dir holds all that has no URL: database, queue, objects, keys.
	Dir string
	// Database, Queue and Blobs are URLs; "" means SQLite, embedded NATS and files in Dir.
	Database string
	Queue    string
	Blobs    string
	// Pipelines is the URL of the database of pipelines; "" means Database where
	// that is Postgres, else SQLite in Dir.
	Pipelines string
	// URL is where people reach the API; runs' addresses begin with it.
	URL string
	// Hosts are the names that requests may be addressed to; empty accepts all.
	Hosts []string
	// GitAllow names hosts that may be reached over http:// and git://, and at private addresses.
	GitAllow []string
	// Secrets says where secrets lie; its Key defaults to secret.key in Dir, made if missing.
	Secrets SecretsConfig
	// Repositories makes what opens repositories of forges, given what is known of
	// these; nil opens none.
	Repositories func(Forges) engine.Repositories
	// SignIn says who beside tokens says who people are; by default nobody.
	SignIn SignInConfig
	// Key signs tokens.
	Key ed25519.PrivateKey
	// Lease is how long an agent may be silent; 0 is the default.
	Lease time.Duration
	// PodCosts is the namespace of agents that are pods, whose deletion costs are
	// kept; "" keeps none.
	PodCosts string
	Version  string
	Log      *slog.Logger
	Metrics  *prometheus.Registry
	// Traces makes spans of requests and runs. Default: none are made.
	Traces *trace.Tracer
}

// Backend is everything behind the API.
type Backend struct {
	Store  *store.Store
	Queue  *Broker
	Blobs  blob.Store
	Source *source.Source
	Engine *engine.Engine
	Auth   *auth.Authority
	// Secrets is what is confidential.
	Secrets *Secrets
	// Pipelines is a layer on top: a client of the Handler.
	Pipelines *Pipelines

	pipelinesToken *pipelinesToken // what they trigger with

	config Config
	traces *trace.Tracer
	costs  *podcost.Keeper // nil: none are kept
	http   http.Handler
	inside *inprocess.Transport // how Pipelines and the pages reach the Handler
	stop   chan struct{}        // closed: streams and held answers end
	once   sync.Once
}

// New opens every part, in the order of their dependence. On error what was
// opened is closed.
func New(ctx context.Context, c Config) (*Backend, error) {
	b := &Backend{config: c, traces: c.Traces, stop: make(chan struct{})}
	if b.traces == nil {
		b.traces = &trace.Tracer{}
	}
	b.inside = inprocess.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.http.ServeHTTP(w, r) }))
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Backend) open(ctx context.Context) (err error) {
	c := b.config
	if b.Store, err = store.Open(ctx, cmp.Or(c.Database, "sqlite:"+filepath.Join(c.Dir, "ci.db")), c.Log); err != nil {
		return err
	}
	if err = b.Store.Own(); err != nil {
		return err
	}
	if b.Queue, err = OpenBroker(c.Queue, c.Dir, c.Log); err != nil {
		return err
	}
	if b.Blobs, err = OpenBlobs(c.Blobs, c.Dir); err != nil {
		return err
	}
	if b.Source, err = source.New(source.Config{Allow: c.GitAllow, Dir: filepath.Join(c.Dir, "source"), Log: c.Log}); err != nil {
		return err
	}
	c.Secrets.Key, c.Secrets.Make = cmp.Or(c.Secrets.Key, filepath.Join(c.Dir, "secret.key")), true
	if b.Secrets, err = OpenSecrets(ctx, c.Secrets, b.Store, c.Log); err != nil {
		return err
	}
	parts := engine.Config{
		Store: b.Store, Queue: b.Queue.Queue, Bus: b.Queue.Bus(), Blobs: b.Blobs, Planner: b.Source,
		Log: c.Log, URL: c.URL, Lease: c.Lease, Observe: b.observe(newPhases(c.Metrics)),
	}
	if b.traces.On() {
		parts.NewTrace = b.traces.Begin
	}
	b.Secrets.Give(&parts)
	if c.Repositories != nil {
		parts.Repositories = c.Repositories(b.Secrets.Forges)
	}
	if b.Engine, err = engine.New(parts); err != nil {
		return err
	}
	if b.Auth, err = auth.New(b.Store, c.Key, b.Store.Now); err != nil {
		return err
	}
	if err := errors.Join(b.scaling(), b.Checks().measure(c.Metrics)); err != nil {
		return err
	}
	if err := b.pipelines(ctx); err != nil {
		return err
	}
	b.http, err = b.handler(b.stop)
	return err
}

// observe tells of a run that is done.
func (b *Backend) observe(p *phases) func(*ci.Run) {
	return func(r *ci.Run) {
		p.observe(r)
		b.traces.Done(r)
	}
}

// OpenBlobs opens the object store that url names; "" is a folder of dir.
func OpenBlobs(url, dir string) (blob.Store, error) {
	if strings.HasPrefix(url, "s3://") {
		return s3.Open(url)
	}
	return file.Open(cmp.Or(strings.TrimPrefix(url, "file:"), filepath.Join(dir, "blobs")))
}

// Handler serves the whole API.
func (b *Backend) Handler() http.Handler { return b.http }

// Release ends streams and held answers, so that a server can shut down.
func (b *Backend) Release() { b.once.Do(func() { close(b.stop) }) }

// Run plans, publishes, sweeps and reaps until ctx ends.
func (b *Backend) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.Engine.Run(ctx) })
	g.Go(func() error { return b.Pipelines.Run(ctx) })
	g.Go(func() error { return b.pipelinesToken.run(ctx) })
	if b.costs != nil {
		g.Go(func() error { return b.costs.Run(ctx) })
	}
	return g.Wait()
}

// Check says of each part whether it answers; the values are nil where it does.
func (b *Backend) Check(ctx context.Context) map[string]error {
	return map[string]error{
		"database": b.Store.Ping(ctx),
		"queue":    b.Queue.Check(ctx),
		"blobs":    b.Blobs.Check(ctx),

		"pipelines": b.Pipelines.Check(ctx),
	}
}

// Close closes what New opened, in reverse. Run must have returned before.
func (b *Backend) Close() error {
	errs := []error{b.inside.Close()}
	if b.Pipelines != nil {
		errs = append(errs, b.Pipelines.Close())
	}
	errs = append(errs, b.Secrets.Close())
	if b.Queue != nil {
		errs = append(errs, b.Queue.Close())
	}
	if b.Store != nil {
		errs = append(errs, b.Store.Close())
	}
	return errors.Join(errs...)
}
