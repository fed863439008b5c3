package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"ci/pkg/ci"
)

// Secrets reads the values of jobs' secrets; backend/secret declares it.
type Secrets interface {
	// Missing returns those of names that the job has no value for.
	Missing(ctx context.Context, job string, names []string) ([]string, error)
	// Values returns the values of names; one without a value is not in it.
	Values(ctx context.Context, job string, names []string) (map[string]string, error)
}

// Registries reads the accounts for pulls; backend/secret/sealed is one.
type Registries interface {
	Access(ctx context.Context) ([]ci.RegistryAccess, error)
}

// maxSecrets is how long the values of one run's secrets may be together, in
// bytes. No process could be started with more than a few of these (Linux
// gives its arguments and environment 2 MiB), and the agent looks for each in
// all that the run prints.
const maxSecrets = 512 << 10

// accessTimeout bounds one look into a store of secrets. It is shorter than an
// agent waits for a claim, so that the reason arrives.
const accessTimeout = 4 * time.Second

// prepareAccess is access for a claim: it returns the end of a run that can't
// have what it needs, or the reason to try again. Nothing is read for a run
// that the claim won't get.
func (e *Engine) prepareAccess(ctx context.Context, run *ci.Run, c ci.Claim, work *ci.Work) (*ci.End, error) {
	if run.Phase != ci.PhaseQueued && run.Claim != c.ID {
		return nil, nil
	}
	if err := e.access(ctx, run, work); err != nil {
		return e.denied(run, err)
	}
	return nil, nil
}

// access fills in everything confidential that a run's execution needs. It is
// called before the run is claimed: while something is away
// (ci.CodeUnavailable) the run stays queued. Any other error is final.
func (e *Engine) access(ctx context.Context, run *ci.Run, work *ci.Work) error {
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	for _, give := range []func(context.Context, *ci.Run, *ci.Work) error{
		e.giveSecrets,
		e.giveRegistries,
		e.giveSSH,
		e.giveHTTP,
	} {
		if err := give(ctx, run, work); err != nil {
			return timely(ctx, err)
		}
	}
	return nil
}

// timely says of a call that ended with its time that what it asked is away.
func timely(ctx context.Context, err error) error {
	if ctx.Err() == nil || ci.CodeOf(err) == ci.CodeUnavailable {
		return err
	}
	return ci.Errorf(ci.CodeUnavailable, "the store of secrets has not answered in time: %w", err)
}

// giveSecrets reads the secrets that the run's job file names.
func (e *Engine) giveSecrets(ctx context.Context, run *ci.Run, work *ci.Work) error {
	names := run.Spec.Env
	if len(names) == 0 || run.Origin.Withheld() {
		return nil
	}
	if err := distinct(run.Parameters, names); err != nil {
		return err
	}
	if e.Secrets == nil {
		return ci.Errorf(ci.CodeConflict, "this run needs secrets, and the agent that took it can't open any: it was started without the key; give it --secret-key with the file that the cids use")
	}
	values, err := e.Secrets.Values(ctx, run.Job, names)
	if err != nil {
		return err
	}
	var missing []string
	total := 0
	for _, name := range names {
		if v, ok := values[name]; ok {
			total += len(v)
		} else {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return missingSecrets(run.Job, missing)
	}
	if total > maxSecrets {
		return ci.Errorf(ci.CodeInvalid, "the secrets of this run have %s together; at most %s fit into an environment", ci.Bytes(int64(total)), ci.Bytes(maxSecrets))
	}
	work.Secrets = values
	return nil
}

// giveRegistries reads the accounts for pulls.
func (e *Engine) giveRegistries(ctx context.Context, run *ci.Run, work *ci.Work) (err error) {
	if e.Registries != nil && !foreignBuild(run) {
		work.Registries, err = e.Registries.Access(ctx)
	}
	return err
}

// checkSecrets says, when a run is planned, what its claim would say of its secrets.
func (e *Engine) checkSecrets(ctx context.Context, run *ci.Run, spec *ci.Spec) error {
	if len(spec.Env) == 0 {
		return nil
	}
	if err := distinct(run.Parameters, spec.Env); err != nil {
		return err
	}
	if e.Secrets == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	missing, err := e.Secrets.Missing(ctx, run.Job, spec.Env)
	if err != nil {
		return timely(ctx, err)
	}
	if len(missing) > 0 {
		return missingSecrets(run.Job, missing)
	}
	return nil
}

// distinct refuses a variable that would have two values.
func distinct(parameters map[string]string, secrets []string) error {
	for _, name := range secrets {
		if _, ok := parameters[name]; ok {
			return ci.Errorf(ci.CodeInvalid, "%s is a parameter of the job, and its job file names it under env as a secret; rename one of them", name)
		}
	}
	return nil
}

func missingSecrets(job string, names []string) error {
	what, them := "secret "+names[0]+", and it is", "it"
	if len(names) > 1 {
		what, them = "secrets "+strings.Join(names, ", ")+", and they are", "each of them"
	}
	return ci.Errorf(ci.CodeInvalid, "the job file names the %s not set for job %s; set %s with `ci secret set %s NAME`, or PUT /jobs/%s/secrets/NAME", what, job, them, job, job)
}

// patience remembers since when runs could not be claimed because something
// confidential was away.
type patience struct {
	mu    sync.Mutex
	since map[int64]time.Time
}

// over says whether a run has met the same for longer than limit.
func (p *patience) over(run int64, now time.Time, limit time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since == nil || len(p.since) > 10_000 { // they went to other agents
		p.since = map[int64]time.Time{}
	}
	first, ok := p.since[run]
	if !ok {
		p.since[run] = now
		return false
	}
	return now.Sub(first) > limit
}

func (p *patience) forget(run int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.since, run)
}

// denied decides what becomes of a run whose confidential things can't be
// had. It returns err to have the claim tried again, or nil and the run's end.
func (e *Engine) denied(run *ci.Run, err error) (*ci.End, error) {
	end := &ci.End{Outcome: ci.OutcomeError, Reason: err.Error()}
	var said *ci.Error
	switch code := ci.CodeOf(err); {
	case code == ci.CodeUnavailable && !e.waiting.over(run.ID, e.Store.Now(), e.AccessFor):
		e.Log.Warn("claim: what the run needs is away; the run stays queued", "run", run.ID, "job", run.Job, "err", err)
		return nil, err
	case code == ci.CodeUnavailable:
		end.Reason = fmt.Sprintf("The run was not started, since what it needs has been away for more than %s: %s", e.AccessFor, err)
	case code == ci.CodeInternal || !errors.As(err, &said):
		end.Reason = "the run's secrets could not be read: an internal error of the server; the agent's log says more"
	}
	e.waiting.forget(run.ID)
	e.Log.Warn("claim: the run can't have what it needs", "run", run.ID, "job", run.Job, "err", err)
	return end, nil
}

// refuse ends a run that was claimed only to be ended: what it needs can't be had.
func (e *Engine) refuse(ctx context.Context, c ci.Claim, end ci.End) error {
	if err := e.end(ctx, ending{run: c.Run, claim: &c}, end); err != nil {
		return err
	}
	return ci.Errorf(ci.CodeConflict, "run %d has ended: %s", c.Run, end.Reason)
}
