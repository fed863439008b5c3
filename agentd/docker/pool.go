package docker

import (
	"context"
	"slices"
	"sync"
	"time"

	"ci/pkg/ci"
)

// idleTime is how long a sandbox that nobody needs is kept; one always is.
const idleTime = time.Minute

// pool keeps sandboxes ready. Whoever wants one gets an idle one, or the next
// that is given back or made, whichever comes first.
type pool struct {
	d      *Driver
	shared *shared

	mu      sync.Mutex
	idle    []*sandbox // the longest idle first
	waiting []chan offer
	making  int
	closed  bool
	work    sync.WaitGroup // everything that runs beside
	stop    context.CancelFunc
}

// offer is what a waiter gets: a sandbox, or why there is none.
type offer struct {
	sandbox *sandbox
	err     error
}

func newPool(d *Driver, s *shared) *pool {
	ctx, cancel := context.WithCancel(context.Background()) // ends with close
	p := &pool{d: d, shared: s, stop: cancel}
	p.work.Go(func() { p.trim(ctx) })
	return p
}

// warm makes the first sandbox.
func (p *pool) warm(ctx context.Context) error {
	sb, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	p.release(sb)
	return nil
}

// acquire returns a sandbox that is the caller's until release or discard.
func (p *pool) acquire(ctx context.Context) (*sandbox, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ci.Errorf(ci.CodeUnavailable, "the agent is shutting down and prepares no run any more")
	}
	for len(p.idle) > 0 {
		sb := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if sb.alive() {
			p.mu.Unlock()
			return sb, nil
		}
		p.remove(sb)
	}
	wait := make(chan offer, 1)
	p.waiting = append(p.waiting, wait)
	if p.making < len(p.waiting) {
		p.making++
		p.work.Go(p.makeOne)
	}
	p.mu.Unlock()
	select {
	case o := <-wait:
		return o.sandbox, o.err
	case <-ctx.Done():
		p.leave(wait)
		return nil, context.Cause(ctx)
	}
}

// leave gives up waiting, and back what was offered meanwhile.
func (p *pool) leave(wait chan offer) {
	p.mu.Lock()
	p.waiting = slices.DeleteFunc(p.waiting, func(w chan offer) bool { return w == wait })
	p.mu.Unlock()
	select {
	case o := <-wait:
		if o.sandbox != nil {
			p.release(o.sandbox)
		}
	default:
	}
}

// makeOne makes a sandbox for whoever comes next. It is not cut short when
// the one who caused it gives up: another will want it.
func (p *pool) makeOne() {
	sb, err := p.d.makeSandbox(context.Background(), p.shared)
	p.mu.Lock()
	p.making--
	if err != nil {
		if len(p.waiting) > 0 {
			p.waiting[0] <- offer{err: err}
			p.waiting = p.waiting[1:]
		}
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.release(sb)
}

// release gives a sandbox back once nothing of the run is in it any more.
func (p *pool) release(sb *sandbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !sb.alive() && len(p.waiting) > p.making:
		p.remove(sb)
		p.making++
		p.work.Go(p.makeOne)
	case !sb.alive() || p.closed:
		p.remove(sb)
	case len(p.waiting) > 0:
		p.waiting[0] <- offer{sandbox: sb}
		p.waiting = p.waiting[1:]
	default:
		sb.idle = time.Now()
		p.idle = append(p.idle, sb)
	}
}

// discard gives back a sandbox that must not be used again.
func (p *pool) discard(sb *sandbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(sb)
}

// remove removes a sandbox beside. The caller holds mu.
func (p *pool) remove(sb *sandbox) {
	p.work.Go(func() { p.d.removeSandbox(context.Background(), sb) })
}

// trim removes, now and then, the sandboxes that nobody has wanted for a
// while, and those that have died. One is kept.
func (p *pool) trim(ctx context.Context) {
	tick := time.NewTicker(idleTime / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		keep := len(p.idle) - 1
		p.idle = slices.DeleteFunc(p.idle, func(sb *sandbox) bool {
			if sb.alive() && (keep == 0 || time.Since(sb.idle) < idleTime) {
				return false
			}
			keep = max(keep-1, 0)
			p.remove(sb)
			return true
		})
		p.mu.Unlock()
	}
}

// close removes all idle sandboxes, and each other as it is given back, and
// waits until the removals so far are done.
func (p *pool) close(ctx context.Context) error {
	p.stop()
	p.mu.Lock()
	p.closed = true
	for _, sb := range p.idle {
		p.remove(sb)
	}
	p.idle = nil
	p.mu.Unlock()
	done := make(chan struct{})
	go func() { p.work.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
