package backend

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"ci/backend/pipeline"
	"ci/backend/pipeline/journal"
	"ci/backend/trace"
	"ci/pkg/api"
	"ci/pkg/ci"
	"ci/pkg/replay"
)

// PipelinesConfig is what the layer of pipelines needs, inside a cid or as a process of its own.
type PipelinesConfig struct {
	// Database is the URL of its journal.
	Database string
	// URL is where the API is.
	URL string
	// Token says with which token runs are triggered there. It is asked for each request.
	Token func() string
	// HTTP reaches the API. Default: over the network.
	HTTP *http.Client
	Log  *slog.Logger
	// Traces makes spans of runs. Default: none are made.
	Traces *trace.Tracer
	// Stop ends held answers when it is closed. Default: never.
	Stop <-chan struct{}
}

// Pipelines is the layer of pipelines with its parts.
type Pipelines struct {
	*pipeline.Service
	journal *journal.Journal
	sandbox *replay.Sandbox
}

// apiPatience is how long one call of the API is repeated; after that the run
// rests, and another one has its turn.
const apiPatience = 3 * time.Second

// OpenPipelines opens the journal and joins the parts. Run has to be called for work to begin.
func OpenPipelines(ctx context.Context, c PipelinesConfig) (_ *Pipelines, err error) {
	if c.Traces == nil {
		c.Traces = &trace.Tracer{}
	}
	p := &Pipelines{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.journal, err = journal.Open(ctx, c.Database, c.Log); err != nil {
		return nil, err
	}
	if err = p.journal.Own(ctx); err != nil {
		return nil, err
	}
	p.sandbox = replay.NewSandbox("")
	own, err := api.New(api.Config{URL: c.URL, TokenSource: c.Token, HTTP: c.HTTP, UserAgent: "ci-pipelines", Retry: apiPatience})
	if err != nil {
		return nil, err
	}
	p.Service, err = pipeline.New(pipeline.Config{
		Journal: p.journal, API: own, Evaluate: p.sandbox.Evaluate, Log: c.Log, Stop: c.Stop, Trace: c.Traces.Recorded, Done: c.Traces.PipelineDone,
		Who: func(ctx context.Context, bearer string) (*ci.Caller, error) {
			caller, err := own.As(bearer)
			if err != nil {
				return nil, ci.Errorf(ci.CodeUnauthorized, "the token is not of the form abc.def.ghi")
			}
			return caller.WhoAmI(ctx)
		},
	})
	return p, err
}

// Check returns nil when the journal answers.
func (p *Pipelines) Check(ctx context.Context) error { return p.journal.Ping(ctx) }

// Close closes what OpenPipelines opened. Run must have returned before.
func (p *Pipelines) Close() (err error) {
	if p.sandbox != nil {
		err = p.sandbox.Close()
	}
	if p.journal != nil {
		err = errors.Join(err, p.journal.Close())
	}
	return err
}

// pipelines opens the layer inside this process. It calls the API as any
// client does, but with no network in between.
func (b *Backend) pipelines(ctx context.Context) error {
	c := b.config
	token, err := openPipelinesToken(ctx, b.Auth, filepath.Join(c.Dir, "pipelines.token"), b.Store.Now, c.Log)
	if err != nil {
		return err
	}
	database := c.Pipelines
	if database == "" && strings.HasPrefix(c.Database, "postgres") {
		database = c.Database
	}
	p, err := OpenPipelines(ctx, PipelinesConfig{
		Database: cmp.Or(database, "sqlite:"+filepath.Join(c.Dir, "pipelines.db")), URL: "http://" + b.insideHost(), Token: token.String, HTTP: &http.Client{Transport: b.inside}, Log: c.Log, Traces: b.traces, Stop: b.stop,
	})
	if err != nil {
		return err
	}
	b.Pipelines, b.pipelinesToken = p, token
	return nil
}

// insideHost is a name that the API answers to.
func (b *Backend) insideHost() string {
	for _, host := range b.config.Hosts {
		if host != "*" {
			return host
		}
	}
	return "localhost"
}
