// Package pipeline is a layer on top of the API: programs that trigger runs,
// wait for them and decide what comes next, and that survive whatever dies. It
// is a client like any other: of the backend it knows the API alone, and keeps
// what it knows in a journal of its own.
//
// Any number of processes may share a journal in Postgres. Each answers, and
// each works on whatever run is due; a run is worked on by one at a time.
package pipeline

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"time"

	"ci/backend/pipeline/journal"
	"ci/pkg/ci"
	"ci/pkg/replay"
)

// API is what pipelines need of the API. pkg/api.Client is one.
type API interface {
	Trigger(ctx context.Context, t ci.Trigger) (*ci.Run, error)
	// Withdraw returns the run that an Idempotency-Key has made, or nil once it makes none.
	Withdraw(ctx context.Context, job, key string) (*ci.Run, error)
	GetRun(ctx context.Context, job string, id int64) (*ci.Run, error)
	Abort(ctx context.Context, job string, id int64) (*ci.Run, error)
	Results(ctx context.Context, job string, id int64) ([]ci.Result, error)
	OpenResult(ctx context.Context, job string, id int64, name string) (body io.ReadCloser, contentType, filename string, size int64, err error)
	Events(ctx context.Context, after int64) iter.Seq2[ci.Event, error]
	PutPin(ctx context.Context, run ci.RunRef, p ci.Pin) (ci.Pin, error)
	DeletePin(ctx context.Context, run ci.RunRef, name string) error
	GetConfig(ctx context.Context) (*ci.Config, error)
}

// Config is what a Service needs. All fields are required but those that say
// what they default to.
type Config struct {
	Journal *journal.Journal
	// API triggers runs, with a token that may trigger every job.
	API API
	// Evaluate replays a program; a replay.Sandbox's does.
	Evaluate func(ctx context.Context, in replay.Input) (*replay.Output, error)
	// Who says whom a caller's bearer token stands for: ci.CodeUnauthorized for nobody.
	Who func(ctx context.Context, bearer string) (*ci.Caller, error)
	Log *slog.Logger
	// Trace says where a request is in a distributed trace, nil for nowhere. Default: requests are nowhere.
	Trace func(ctx context.Context) *ci.Trace
	// Done, if set, is told of every run that has ended.
	Done func(*ci.PipelineRun)
	// Now is the time. Default: the journal's.
	Now func() time.Time
	// Workers is how many runs are worked on at once. Default: 4.
	Workers int
	// Tick is how often the journal is asked what is due. Default: 1 s.
	Tick time.Duration
	// Look is how often a run that waits for others is looked at when no event
	// came. Default: 30 s.
	Look time.Duration
	// Lease is how long a worker may be silent before another one takes its run. Default: 30 s.
	Lease time.Duration
	// MaxAge is how long a run may last. Default: 30 days.
	MaxAge time.Duration
	// Stop ends held answers when it is closed, so that a server can shut down. Default: never.
	Stop <-chan struct{}
}

// Service serves pipelines and works on their runs.
type Service struct {
	Config
	due      chan struct{} // something may be due
	bodyTime time.Duration // in which a request's body must arrive
	held     chan struct{} // a place for each answer that is held
	lists    shared[journal.Filter, string]
	shown    shared[int64, *ci.PipelineRun]
}

// New checks the configuration and fills in defaults.
func New(c Config) (*Service, error) {
	if c.Journal == nil || c.API == nil || c.Evaluate == nil || c.Who == nil || c.Log == nil {
		return nil, errors.New("pipeline: Journal, API, Evaluate, Who and Log are required")
	}
	if c.Now == nil {
		c.Now = c.Journal.Now
	}
	if c.Trace == nil {
		c.Trace = func(context.Context) *ci.Trace { return nil }
	}
	if c.Done == nil {
		c.Done = func(*ci.PipelineRun) {}
	}
	c.Workers = cmp.Or(c.Workers, 4)
	c.Tick = cmp.Or(c.Tick, time.Second)
	c.Look = cmp.Or(c.Look, 30*time.Second)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.MaxAge = cmp.Or(c.MaxAge, 30*24*time.Hour)
	return &Service{Config: c, due: make(chan struct{}, 1), bodyTime: defaultBodyTime, held: make(chan struct{}, maxHeld)}, nil
}

// now is the time as the journal keeps it.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// nudge says that something may be due.
func (s *Service) nudge() {
	select {
	case s.due <- struct{}{}:
	default: // somebody has said so
	}
}
