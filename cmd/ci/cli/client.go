package cli

import (
	"context"
	"io"
	"iter"
	"time"

	"ci/pkg/ci"
)

// Client is what the verbs need of the API. pkg/api.Client is one.
type Client interface {
	PutJob(ctx context.Context, j *ci.Job, ifVersion int64) (*ci.Job, bool, error)
	GetJob(ctx context.Context, name string) (*ci.Job, error)
	ListJobs(ctx context.Context) iter.Seq2[ci.Job, error]
	DeleteJob(ctx context.Context, name string) error

	Trigger(ctx context.Context, t ci.Trigger) (*ci.Run, error)
	GetRun(ctx context.Context, job string, id int64) (*ci.Run, error)
	FindRun(ctx context.Context, id int64) (*ci.Run, error)
	WaitRun(ctx context.Context, job string, id int64, until ci.Until) (*ci.Run, error)
	ListRuns(ctx context.Context, f ci.RunFilter) iter.Seq2[ci.Run, error]
	Abort(ctx context.Context, job string, id int64) (*ci.Run, error)
	Explain(ctx context.Context, job string, id int64) (*ci.QueueReport, error)

	Results(ctx context.Context, job string, id int64) ([]ci.Result, error)
	OpenResult(ctx context.Context, job string, id int64, name string) (body io.ReadCloser, contentType, filename string, size int64, err error)
	Console(ctx context.Context, job string, id, from int64, follow bool) (io.ReadCloser, error)
	ConsoleTimes(ctx context.Context, job string, id, from int64) (ci.ConsoleTimes, error)
	Events(ctx context.Context, after int64) iter.Seq2[ci.Event, error]

	ListAgents(ctx context.Context) ([]ci.Agent, error)
	Drain(ctx context.Context, agent string, d ci.Drain) (ci.Drain, error)
	GetDrain(ctx context.Context, agent string) (ci.Drain, error)
	Undrain(ctx context.Context, agent string) error
	Queues(ctx context.Context) ([]ci.QueueDepth, error)
	GetConfig(ctx context.Context) (*ci.Config, error)
	PutConfig(ctx context.Context, c *ci.Config, ifVersion int64) (*ci.Config, error)
	CreateToken(ctx context.Context, t ci.Token) (bearer string, made ci.Token, err error)
	ListTokens(ctx context.Context) iter.Seq2[ci.Token, error]
	RevokeToken(ctx context.Context, id string) error

	PlanRetention(ctx context.Context, config *ci.Config, job string, limit int) (*ci.RetentionPlan, error)
	PutPin(ctx context.Context, run ci.RunRef, p ci.Pin) (ci.Pin, error)
	DeletePin(ctx context.Context, run ci.RunRef, name string) error
	ListPins(ctx context.Context, run ci.RunRef) ([]ci.Pin, error)

	PutSecret(ctx context.Context, job, name, value string) (ci.Secret, error)
	ListSecrets(ctx context.Context, job string) ([]ci.Secret, error)
	DeleteSecret(ctx context.Context, job, name string) error
	PutRegistry(ctx context.Context, a ci.RegistryAccess) (ci.Registry, error)
	ListRegistries(ctx context.Context) ([]ci.Registry, error)
	DeleteRegistry(ctx context.Context, host string) error

	PutEventTrigger(ctx context.Context, t ci.EventTrigger, ifVersion int64) (stored ci.EventTrigger, created bool, err error)
	ListEventTriggers(ctx context.Context, job string, size int, page string) ([]ci.EventTrigger, string, error)
	DeleteEventTrigger(ctx context.Context, name string) error

	PutForge(ctx context.Context, a ci.ForgeAccess, ifVersion int64) (f ci.Forge, created bool, err error)
	ListForges(ctx context.Context) ([]ci.Forge, error)

	PutSSHKey(ctx context.Context, name string, hosts []ci.HostKey, ifVersion int64) (key ci.SSHKey, created bool, err error)
	GetSSHKey(ctx context.Context, name string) (ci.SSHKey, error)
	ListSSHKeys(ctx context.Context) ([]ci.SSHKey, error)
	DeleteSSHKey(ctx context.Context, name string) error
	ScanHost(ctx context.Context, host string) ([]ci.HostKey, error)
}

// client opens the API of the server that is meant.
func (a *app) client() (Client, error) { return a.open(quick) }

// patientClient is for following a run.
func (a *app) patientClient() (Client, error) { return a.open(patient) }

func (a *app) open(retry time.Duration) (Client, error) {
	e, err := a.endpoint()
	if err != nil {
		return nil, err
	}
	return a.dial(e, a.userAgent(), retry)
}

func (a *app) userAgent() string { return "ci/" + a.Version }
