package runner

import (
	"context"
	"sync"
	"time"
)

// cause says who asked for a run's end before its script ended by itself.
type cause int

const (
	causeNone cause = iota
	causeAbort
	causeTimeout
)

// control is where everyone who wants a run's end meets the run itself. Of
// abort and timeout the first one counts; a lost claim is above both.
type control struct {
	mu      sync.Mutex
	cause   cause
	why     string
	made    bool // the driver has made what the run needs, or failed
	begun   bool // the script's process exists
	ended   bool // the script has ended by itself: a timeout comes too late
	over    bool // the outcome is reported: everything comes too late
	asking  chan struct{}
	hurry   chan struct{}
	rush    sync.Once
	stopped chan struct{}
	stop    sync.Once
}

func newControl() control {
	return control{asking: make(chan struct{}), hurry: make(chan struct{}), stopped: make(chan struct{})}
}

// Abort ends the run with outcome aborted: at once while it is prepared or its
// results are collected, with SIGTERM, a grace period and SIGKILL while its script
// runs. why is a sentence for the run's reason; "" says that it was asked for.
// Repeating it changes nothing.
func (r *Runner) Abort(why string) { r.control.ask(causeAbort, why) }

// Insist is Abort, and cuts the grace short when the run's end was asked for
// before, by an abort or the timeout: the script gets SIGKILL now. All else is
// as at the end of the grace; outcome and reason are those of the first who asked.
func (r *Runner) Insist(why string) {
	if !r.control.ask(causeAbort, why) {
		r.control.rush.Do(func() { close(r.control.hurry) })
	}
}

// Stop is for a claim that holds no more: the run is killed at once and
// nothing more is reported about it. It does not wait; Run returns when all is gone.
func (r *Runner) Stop() { r.control.halt() }

// Ended says that the run's outcome is reported, or that its claim is lost:
// only its removal may still be under way.
func (r *Runner) Ended() bool {
	c := &r.control
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// Prepared says that the driver makes nothing more for the run.
func (r *Runner) Prepared() bool {
	c := &r.control
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made || c.over
}

func (c *control) prepared() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = true
}

// ask says whether it was the first that counts.
func (c *control) ask(why cause, sentence string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != causeNone || c.over || (why == causeTimeout && c.ended) {
		return false
	}
	c.cause, c.why = why, sentence
	close(c.asking)
	return true
}

func (c *control) asked() (cause, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause, c.why
}

// scriptEnded notes that the script is over and returns who had asked for that.
func (c *control) scriptEnded() (cause, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return c.cause, c.why
}

// start notes that the script has begun; false means that this was known.
func (c *control) start() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.begun
	c.begun = true
	return first
}

func (c *control) scriptStarted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun
}

func (c *control) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

func (c *control) halt() { c.stop.Do(func() { close(c.stopped) }) }

// onStop calls fn when the claim is lost; the function it returns ends the watch and waits for it.
func (c *control) onStop(fn func()) func() { return when(c.stopped, fn) }

// onAsk calls fn when an abort or a timeout asks for the end.
func (c *control) onAsk(fn func()) func() { return when(c.asking, fn) }

func when(signal <-chan struct{}, fn func()) func() {
	quit := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-signal:
			fn()
		case <-quit:
		}
	})
	return func() {
		close(quit)
		watch.Wait()
	}
}

// escort brings a script to its end when somebody asks for it: SIGTERM, a
// grace period (which Insist cuts short), SIGKILL, and when even that does not
// help it gives up waiting.
// A lost claim (the end of ctx) is SIGKILL at once. over is closed when the script has ended.
func (r *Runner) escort(ctx context.Context, over <-chan struct{}, giveUp context.CancelFunc) {
	select {
	case <-over:
		return
	case <-ctx.Done():
		r.signal(Kill)
		giveUp()
		return
	case <-r.control.asking:
	}
	cause, why := r.control.asked()
	r.console.say("%s", r.farewell(cause, why))
	if grace := r.work.AbortGrace; grace > 0 {
		r.signal(Terminate)
		if began := time.Now(); !await(ctx, over, r.control.hurry, grace) && ctx.Err() == nil && time.Since(began) < grace {
			r.console.say("the script gets no more time to end; it is killed")
		}
	}
	if !await(ctx, over, nil, 0) {
		r.signal(Kill)
	}
	await(ctx, over, nil, r.cfg.KillTimeout)
	giveUp()
}

// await waits for the script's end, the claim's end, a hurry or the time, and says whether the script has ended.
func await(ctx context.Context, over, hurry <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	case <-hurry:
	case <-timer.C:
	}
	select {
	case <-over:
		return true
	default:
		return false
	}
}

func (r *Runner) signal(s Signal) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("signalling a script panicked", "err", p)
		}
	}()
	if err := r.box.Signal(s); err != nil {
		r.log.Warn("the script could not be signalled", "signal", s, "err", err)
	}
}
