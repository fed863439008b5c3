// Package rpc is the one implementation of the API: every method of the
// wire's services unpacks its message, calls the rooms that know, and packs
// the answer. Connect, gRPC and gRPC-Web reach the methods through Mount, REST
// through Methods.
package rpc

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"ci/pkg/ci"
)

// Engine moves runs; backend/engine is one.
type Engine interface {
	Trigger(ctx context.Context, t ci.Trigger) (run *ci.Run, replayed bool, err error)
	TriggerBatch(ctx context.Context, ts []ci.Trigger) ([]ci.Run, error)
	// Withdraw returns the run that an Idempotency-Key has made, or nil once it makes none.
	Withdraw(ctx context.Context, job, key string) (*ci.Run, error)
	// Abort asks for a run's end in the name of a token.
	Abort(ctx context.Context, job string, id int64, by string) (*ci.Run, error)
	Wait(ctx context.Context, job string, id int64, until ci.Until, d time.Duration) (*ci.Run, error)
	Explain(ctx context.Context, job string, id int64) (*ci.QueueReport, error)
	// PlanRetention says what would go by a configuration; nil is the present one.
	PlanRetention(ctx context.Context, config *ci.Config, job string, limit int) (*ci.RetentionPlan, error)
}

// Store is what the API reads and writes by itself: backend/store, where each
// writing method is a transaction of its own.
type Store interface {
	GetJob(ctx context.Context, name string) (*ci.Job, error)
	ListJobs(ctx context.Context, after string, limit int, only []string) ([]ci.Job, error)
	PutJob(ctx context.Context, j *ci.Job, ifVersion int64) (created bool, err error)
	DeleteJob(ctx context.Context, name string, ifVersion int64) error

	GetRun(ctx context.Context, job string, id int64) (*ci.Run, error)
	ListRuns(ctx context.Context, f ci.RunFilter, limit int) ([]ci.Run, error)
	QueueDepths(ctx context.Context) ([]ci.QueueDepth, error)
	ListResults(ctx context.Context, run int64) ([]ci.Result, error)
	GetResult(ctx context.Context, run int64, name string) (*ci.Result, error)
	JobResults(ctx context.Context, job string, limit int) ([]string, error)

	Events(ctx context.Context, after int64, limit int, job string, jobs []string) ([]ci.Event, error)
	LastEvent(ctx context.Context) (int64, error)

	ListAgents(ctx context.Context) ([]ci.Agent, error)
	GetAgent(ctx context.Context, id string) (*ci.Agent, error)
	SetDrain(ctx context.Context, agent string, d *ci.Drain) error
	// GetDrain returns the order to an agent, nil when there is none.
	GetDrain(ctx context.Context, agent string) (*ci.Drain, error)
	// HeldRuns returns the runs in progress that an agent has claimed, oldest first.
	HeldRuns(ctx context.Context, agent string, limit int) ([]ci.Run, error)

	GetConfig(ctx context.Context) (*ci.Config, error)
	PutConfig(ctx context.Context, c *ci.Config, ifVersion int64) error

	// PutPin and DeletePin ask may about the pin that is there, in the same
	// transaction; nil says yes.
	PutPin(ctx context.Context, job string, run int64, p ci.Pin, may func(by string) error, now time.Time) error
	DeletePin(ctx context.Context, run int64, name string, may func(by string) error) error
	ListPins(ctx context.Context, run int64, now time.Time) ([]ci.Pin, error)

	ListTokens(ctx context.Context, after string, limit int) ([]ci.Token, error)
	GetToken(ctx context.Context, id string) (*ci.Token, error)
	RevokeToken(ctx context.Context, id string, at time.Time) error

	// Now is the database's clock.
	Now() time.Time
}

// Bus wakes streams; backend/queue declares it.
type Bus interface {
	Publish(ctx context.Context, topic string, data []byte) error
	Subscribe(topic string, fn func(topic string, data []byte)) (cancel func(), err error)
}

// Minter makes tokens and forgets revoked ones; backend/auth is one.
type Minter interface {
	Mint(ctx context.Context, t ci.Token) (bearer string, recorded ci.Token, err error)
	Forget(id string)
	// Living returns nil while the token opens something.
	Living(ctx context.Context, id string) error
}

// Config is what the methods need. Every field is required but Trace and Stop.
type Config struct {
	Engine Engine
	// Work is what agents call.
	Work   Work
	Store  Store
	Bus    Bus
	Tokens Minter
	// Secrets and Registries keep what is never shown again.
	Secrets    Secrets
	Registries Registries
	// SSHKeys keeps key pairs.
	SSHKeys SSHKeys
	// Forges and EventTriggers are the servers that host repositories, and what happens at events there.
	Forges        Forges
	EventTriggers EventTriggers
	// ScanHost asks a server for its host keys; backend/source does it.
	ScanHost func(ctx context.Context, host string) ([]ci.HostKey, error)
	// CheckSpec parses a freestyle job's document; pkg/jobfile does it.
	CheckSpec func(doc []byte) (*ci.Spec, error)
	// CheckURL says whether a git URL may be fetched from; backend/source does it.
	CheckURL func(ctx context.Context, url string) error
	// Trace says where a request is in a distributed trace, nil for nowhere, and
	// whether its caller has named the trace. Default: requests are nowhere.
	Trace func(ctx context.Context) (place *ci.Trace, came bool)
	Log   *slog.Logger
	// Stop ends what is held on purpose when it is closed. Default: never.
	Stop <-chan struct{}
}

// Services implements every service of the wire.
type Services struct {
	Config
	methods map[string]*Method
}

// New checks the configuration.
func New(c Config) (*Services, error) {
	if c.Engine == nil || c.Work == nil || c.Store == nil || c.Bus == nil || c.Tokens == nil || c.Secrets == nil || c.Registries == nil || c.SSHKeys == nil || c.Forges == nil || c.EventTriggers == nil || c.ScanHost == nil || c.CheckSpec == nil || c.CheckURL == nil || c.Log == nil {
		return nil, errors.New("rpc: Engine, Work, Store, Bus, Tokens, Secrets, Registries, SSHKeys, Forges, EventTriggers, ScanHost, CheckSpec, CheckURL and Log are required")
	}
	if c.Trace == nil {
		c.Trace = func(context.Context) (*ci.Trace, bool) { return nil, false }
	}
	s := &Services{Config: c}
	var err error
	s.methods, err = s.table()
	return s, err
}
