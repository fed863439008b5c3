package runner

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"ci/agentd/mask"
	"ci/pkg/ci"
)

// Config is what all runs of an agent share. Uplink and Driver are required;
// a zero duration means its default.
type Config struct {
	Uplink Uplink
	Driver Driver
	Log    *slog.Logger
	// Veil is told what the log must not show of the run; nil masks nothing there.
	Veil *mask.Veil
	// API answers the calls of scripts whose job file says ci: true; nil means that they have none to call.
	API http.Handler
	// Doubt is called when a run could not be prepared or its container was lost,
	// before the run is said to have ended: perhaps the engine is away. It may be nil.
	Doubt func()
	// Dir is where results wait while they are uploaded; "" means the system's temporary folder.
	Dir string
	// CallTimeout bounds one attempt of one call to the backend (30 s).
	CallTimeout time.Duration
	// CollectTimeout bounds the packing and uploading of all results (10 min).
	CollectTimeout time.Duration
	// HurriedCollectTimeout replaces CollectTimeout once somebody asked for the run's end (1 min).
	HurriedCollectTimeout time.Duration
	// KillTimeout is how long a killed script may take to be gone (15 s).
	KillTimeout time.Duration
	// RemoveTimeout bounds the removal of the container (1 min). What is left then is swept later.
	RemoveTimeout time.Duration
}

func (c Config) withDefaults() Config {
	c.CallTimeout = cmp.Or(c.CallTimeout, 30*time.Second)
	c.CollectTimeout = cmp.Or(c.CollectTimeout, 10*time.Minute)
	c.HurriedCollectTimeout = cmp.Or(c.HurriedCollectTimeout, time.Minute)
	c.KillTimeout = cmp.Or(c.KillTimeout, 15*time.Second)
	c.RemoveTimeout = cmp.Or(c.RemoveTimeout, time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Doubt == nil {
		c.Doubt = func() {}
	}
	return c
}

// Runner carries out one claimed run. Its methods are safe for concurrent use;
// Run is called once.
type Runner struct {
	cfg   Config
	work  ci.Work
	claim ci.Claim
	log   *slog.Logger
	// deadline is when the script must have ended.
	deadline time.Time

	control control
	console *console
	reports reports
	story   story
	box     Box
	mask    *mask.Mask // of all that is confidential; nil when nothing is
}

// New makes the runner of one run. The run's timeout counts from this call,
// so it is made as soon as the claim succeeded.
func New(cfg Config, work ci.Work, claim ci.Claim) *Runner {
	cfg = cfg.withDefaults()
	r := &Runner{
		cfg:      cfg,
		work:     work,
		claim:    claim,
		log:      cfg.Log.With("run", claim.Run, "job", work.Run.Job),
		deadline: time.Now().Add(work.Timeout),
		control:  newControl(),
	}
	r.console = newConsole(work.MaxConsole, r.append)
	r.mask = maskOf(&work)
	r.console.mask = r.mask
	r.story.say, r.story.logs = r.console.say, newServiceLogs(cfg.Dir)
	r.story.logs.mask = r.mask
	return r
}

// Run carries the run out and returns when nothing of it is left: the outcome
// is reported (unless the claim was lost) and its container is removed.
// It never panics. The end of ctx is as Stop: the run is killed at once and
// reports nothing, so that the backend will find it lost.
func (r *Runner) Run(ctx context.Context) {
	held, release := context.WithCancel(ctx)
	defer release()
	defer r.control.onStop(release)()

	defer r.cfg.Veil.Add(r.mask)()
	r.warnOfShort()
	r.sayNotes()

	var sender sync.WaitGroup
	sender.Go(func() { r.console.run(held) })

	defer r.story.logs.close()
	end := r.execute(held)
	end = r.keepServiceLogs(held, end)
	end = r.confirm(held, end)
	r.finish(held, end)
	r.control.end()
	_ = r.remove(ctx) // which says by itself what it leaves

	release()
	r.reports.wait()
	sender.Wait()
}

// execute does everything up to the outcome.
func (r *Runner) execute(ctx context.Context) (end ci.End) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("a run panicked", "err", p, "stack", string(debug.Stack()))
			end = ci.End{Outcome: ci.OutcomeError, Reason: panicReason(p)}
			r.console.say("%s", end.Reason)
		}
		end.ScriptStarted = r.control.scriptStarted()
	}()
	timer := time.AfterFunc(time.Until(r.deadline), func() { r.control.ask(causeTimeout, "") })
	defer timer.Stop()

	if err := r.prepare(ctx); err != nil {
		return r.unprepared(err)
	}
	if err := r.announce(ctx); err != nil {
		return r.unprepared(err)
	}
	if cause, why := r.control.asked(); cause != causeNone {
		return r.cutShort(cause, why)
	}
	exit, err := r.script(ctx)
	timer.Stop()
	cause, why := r.control.scriptEnded()
	switch {
	case cause != causeNone:
		end = r.cutShort(cause, why)
	case err != nil:
		return r.containerLost(err)
	default:
		end = exited(exit, r.work.Run.Spec)
	}
	if len(r.spec().Results) > 0 && err == nil && ctx.Err() == nil {
		end = r.collect(ctx, end)
	}
	return end
}

// prepare has the driver make everything up to a container that waits for its
// script. Its context ends early when somebody asks for the run's end.
func (r *Runner) prepare(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.control.prepared()
	defer r.control.onAsk(cancel)()
	lines := &lineWriter{console: r.console}
	defer lines.flush()
	box, err := r.cfg.Driver.Prepare(ctx, r.order(), lines)
	if err != nil {
		return err
	}
	r.box = box
	return nil
}

// script runs the script and sees to it that it ends.
func (r *Runner) script(ctx context.Context) (exit Exit, err error) {
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the escort decides when waiting makes no more sense
	defer cancel()
	over := make(chan struct{})
	var escort sync.WaitGroup
	escort.Go(func() { r.escort(ctx, over, cancel) })
	defer escort.Wait()
	defer close(over)
	if r.mask == nil {
		return r.box.Run(runCtx, func() { r.control.start() }, r.console)
	}
	out := newMasked(r.mask, r.console.Write)
	defer func() {
		if flushed := out.flush(); err == nil {
			err = flushed
		}
	}()
	return r.box.Run(runCtx, func() { r.control.start() }, out)
}

// announce has the backend record that the script begins, before it can. Should
// this machine die in between, the run counts as begun although it had not:
// that is the safe side, since nobody may run a script twice without knowing.
func (r *Runner) announce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.control.onAsk(cancel)()
	return r.retry(ctx, "tell that the script begins", r.bounded(func(ctx context.Context) error {
		return r.cfg.Uplink.Started(ctx, r.claim)
	}))
}

// confirm lets no run that was cut short be said to be over while anything of
// it may still do something: its containers are gone first. A script that ended
// by itself needs no proof, and is not kept waiting for the removal.
func (r *Runner) confirm(ctx context.Context, end ci.End) ci.End {
	if cause, _ := r.control.asked(); cause == causeNone || r.box == nil || ctx.Err() != nil {
		return end
	}
	if err := r.remove(ctx); err != nil {
		r.log.Error("the run should end and can't be removed", "err", err)
		end.Outcome = ci.OutcomeError
		end.Reason = fmt.Sprintf("The run should end (%s), but its container can't be removed, so it may still be there: %v. "+
			"The agent goes on trying; look at its problem and its leftovers.", strings.TrimSuffix(end.Reason, "."), err)
	}
	return end
}

// finish seals the console and ends the run, once everything that was reported before has arrived.
func (r *Runner) finish(ctx context.Context, end ci.End) {
	sealed, err := r.console.seal(ctx)
	if err != nil {
		r.log.Warn("the run is not ours any more; nothing more is reported", "err", err)
		return
	}
	end.Console = sealed
	r.story.end(&end)
	r.maskEnd(&end)
	r.report(ctx, "finish the run", func(ctx context.Context) error {
		return r.cfg.Uplink.Finish(ctx, r.claim, end)
	})
	r.reports.wait()
	r.log.Info("run ended", "outcome", end.Outcome, "reason", end.Reason)
}

// remove takes the container away, and returns why that could not be; it is
// swept later then. It has a context of its own: whatever ended the run must
// not leave a container behind.
func (r *Runner) remove(ctx context.Context) error {
	if r.box == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.RemoveTimeout)
	defer cancel()
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		err := attempt(ctx, r.box.Remove)
		if err == nil {
			r.box = nil
			return nil
		}
		select {
		case <-ctx.Done():
			r.log.Error("the container could not be removed; the next sweep tries again", "err", err)
			return err
		case <-time.After(wait):
		}
	}
}

// spec returns what the run is. A claim without one is a fault of the backend.
func (r *Runner) spec() *ci.Spec {
	if r.work.Run.Spec == nil {
		return &ci.Spec{}
	}
	return r.work.Run.Spec
}

func panicReason(p any) string {
	return fmt.Sprintf("The agent failed while it carried out the run (%v). This is a fault of the agent, its log has more; trigger the run again.", p)
}
