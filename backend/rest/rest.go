// Package rest is the HTTP face of the API: REST paths, transcoded strictly
// from the google.api.http rules of the wire onto the methods of backend/rpc;
// byte streams, which RPC can't be; server-sent events, health, metrics and
// the OpenAPI document. Connect, gRPC and gRPC-Web go through the same door.
package rest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"ci/backend/auth"
	"ci/backend/rpc"
	"ci/pkg/ci"
)

// Auth verifies and makes tokens; backend/auth is one.
type Auth interface {
	rpc.Minter
	Verify(ctx context.Context, bearer string) (auth.Principal, error)
}

// Console reads what runs have printed; backend/console is one.
type Console interface {
	// Reader reads the bytes from from to to; to -1 is the present end.
	Reader(ctx context.Context, run, from, to int64) (io.ReadCloser, error)
	// Times lists up to limit times of parts that hold bytes at or after from, ascending.
	Times(ctx context.Context, run, from int64, limit int) ([]ci.ConsoleTime, error)
	// End is how many bytes there are at present.
	End(ctx context.Context, run int64) (int64, error)
}

// Blobs reads results; backend/blob is one.
type Blobs interface {
	// Get reads length bytes from offset; length -1 reads to the end.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
}

// Config is what the handler needs. All fields are required but those that say what they default to.
type Config struct {
	Engine rpc.Engine
	// Work is what agents call.
	Work  rpc.Work
	Store rpc.Store
	Bus   rpc.Bus
	Auth  Auth
	// Secrets and Registries keep what is never shown again.
	Secrets rpc.Secrets
	SSHKeys rpc.SSHKeys
	// Forges and EventTriggers are the servers that host repositories, and what happens at events there.
	Forges        rpc.Forges
	EventTriggers rpc.EventTriggers
	// ScanHost asks a server for its host keys.
	ScanHost   func(ctx context.Context, host string) ([]ci.HostKey, error)
	Registries rpc.Registries
	Console    Console
	Blobs      Blobs
	// ResultKey is the key of a result's bytes among the Blobs.
	ResultKey func(run int64, name string) string
	// CheckSpec parses a freestyle job's document; pkg/jobfile does it.
	CheckSpec func(doc []byte) (*ci.Spec, error)
	// CheckURL says whether a git URL may be fetched from; backend/source does it.
	CheckURL func(ctx context.Context, url string) error
	// Trace says where a request is in a distributed trace, nil for nowhere, and
	// whether its caller has named the trace. Default: requests are nowhere.
	Trace func(ctx context.Context) (place *ci.Trace, came bool)
	// Ready says of each part that the API depends on whether it answers; nil
	// values are fine. Default: no parts.
	Ready func(ctx context.Context) map[string]error
	// Warnings are sentences about parts that answer and could lose something
	// all the same; /readyz shows them to everybody. Default: none.
	Warnings func(ctx context.Context) []string
	// Metrics serves /metrics. Default: there is no such path.
	Metrics http.Handler
	// Layers stand on top of the API, each under its prefix ("/pipelines"): what
	// has that path, or one below it, is theirs once the caller is known. They check rights themselves,
	// and end what they hold when the server stops.
	Layers map[string]http.Handler
	// Doors are layers for callers who have no token yet ("/sign-in"): they find out who calls,
	// and let in no more at once than they can take.
	Doors map[string]http.Handler
	// Schema is the JSON Schema of job files.
	Schema []byte
	// Hosts are the names (without port) that requests may be addressed to;
	// "*" accepts all. Default: all, but on a loopback address only loopback names, so
	// that a web page can't reach us by rebinding a name of its own.
	Hosts []string
	Log   *slog.Logger
	// Observe is told of every request once it is answered. Default: nobody is.
	Observe func(Observation)
	// MaxHeld is how many answers may be held or streamed at once, and
	// MaxBusy how many others may be under way. Defaults: 4096 and 1024.
	MaxHeld, MaxBusy int
	// Stall is how long a reader may take no byte before it is dropped. Default: 30 s.
	Stall time.Duration
	// Stop ends streams and held answers when it is closed, so that a server can shut down. Default: never.
	Stop <-chan struct{}
}

// Observation is what is known of an answered request.
type Observation struct {
	// Route is the pattern ("/jobs/{name}"), or "" where no route matched.
	Route    string
	Method   string
	Status   int
	Duration time.Duration
	// Held says that the answer was held or streamed on purpose, so its duration says nothing.
	Held bool
}

// server is the handler.
type server struct {
	Config
	rpc    *rpc.Services
	routes router
	held   chan struct{}
	busy   chan struct{}
	// bodyTime is how long a request's body may take to arrive.
	bodyTime time.Duration
}

// New returns the handler of the whole API.
func New(c Config) (http.Handler, error) {
	if c.Auth == nil || c.Console == nil || c.Blobs == nil || c.ResultKey == nil || len(c.Schema) == 0 {
		return nil, errors.New("rest: Auth, Console, Blobs, ResultKey and Schema are required")
	}
	services, err := rpc.New(rpc.Config{
		Engine: c.Engine, Work: c.Work, Store: c.Store, Bus: c.Bus, Tokens: c.Auth, Secrets: c.Secrets, Registries: c.Registries, SSHKeys: c.SSHKeys, Forges: c.Forges, EventTriggers: c.EventTriggers, ScanHost: c.ScanHost,
		CheckSpec: c.CheckSpec, CheckURL: c.CheckURL, Trace: c.Trace, Log: c.Log, Stop: c.Stop,
	})
	if err != nil {
		return nil, err
	}
	fill(&c)
	s := &server{Config: c, rpc: services, held: make(chan struct{}, c.MaxHeld), busy: make(chan struct{}, c.MaxBusy), bodyTime: defaultBodyTime}
	if s.routes, err = s.newRouter(); err != nil {
		return nil, err
	}
	return s, nil
}

func fill(c *Config) {
	if c.Ready == nil {
		c.Ready = func(context.Context) map[string]error { return nil }
	}
	if c.Warnings == nil {
		c.Warnings = func(context.Context) []string { return nil }
	}
	if c.Observe == nil {
		c.Observe = func(Observation) {}
	}
	if c.MaxHeld == 0 {
		c.MaxHeld = 4096
	}
	if c.MaxBusy == 0 {
		c.MaxBusy = 1024
	}
	if c.Stall == 0 {
		c.Stall = 30 * time.Second
	}
}
