package docker

import (
	"context"
	"io"
	"sync"
)

// sharing lets runs that want the same thing at the same time wait for one
// making of it.
type sharing struct {
	mu  sync.Mutex
	all map[string]*joint
}

// joint is one making. It goes on while somebody waits for it.
type joint struct {
	cancel  context.CancelFunc
	done    chan struct{} // closed once err is set
	err     error
	console io.Writer // of the call that began
	out     *gate
	waiting map[chan string]waiter // guarded by sharing.mu
}

// waiter is how one that waits hears what the making says.
type waiter int

const (
	began  waiter = iota // it writes to this one's console
	beside               // this one has the same console as the one that began: a run that wants one thing twice
	reads                // this one gets pieces
)

// do returns when what key names was made: by this call's work, or by that of
// another call that came before. What work writes to its writer reaches the
// console of the call that began, and those of the others as far as they keep up.
func (s *sharing) do(ctx context.Context, key string, console io.Writer, work func(context.Context, io.Writer) error) error {
	j, pieces := s.join(key, console, work)
	defer s.leave(key, j, pieces)
	for {
		select {
		case piece := <-pieces:
			_, _ = io.WriteString(console, piece)
		case <-j.done:
			for len(pieces) > 0 {
				_, _ = io.WriteString(console, <-pieces)
			}
			return j.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// join takes part, and begins if nobody has. Who shares the console of the one
// that begins gets no pieces, as that one does.
func (s *sharing) join(key string, console io.Writer, work func(context.Context, io.Writer) error) (*joint, chan string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pieces := make(chan string, 64)
	if j := s.all[key]; j != nil {
		j.waiting[pieces] = reads
		if j.console == console {
			j.waiting[pieces] = beside
		}
		return j, pieces
	}
	ctx, cancel := context.WithCancel(context.Background()) // ends with the last who waits
	j := &joint{cancel: cancel, done: make(chan struct{}), console: console, out: &gate{w: console}, waiting: map[chan string]waiter{pieces: began}}
	if s.all == nil {
		s.all = map[string]*joint{}
	}
	s.all[key] = j
	go func() {
		defer close(j.done)
		j.err = work(ctx, io.MultiWriter(j.out, spread{s, j}))
		s.end(key, j)
	}()
	return j, pieces
}

// end forgets a making that is over: who comes later looks for what was made.
func (s *sharing) end(key string, j *joint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[key] == j {
		delete(s.all, key)
	}
}

// leave ends the making when the last one leaves, and waits for its end.
func (s *sharing) leave(key string, j *joint, pieces chan string) {
	s.mu.Lock()
	if j.waiting[pieces] == began {
		defer j.out.close() // it was the one that began; its console is not ours any more
	}
	delete(j.waiting, pieces)
	last := len(j.waiting) == 0
	if last && s.all[key] == j {
		delete(s.all, key)
	}
	s.mu.Unlock()
	if last {
		j.cancel()
		<-j.done
	}
}

// spread gives a piece to all but the one that began. Who does not keep up
// misses some.
type spread struct {
	s *sharing
	j *joint
}

// Write never waits and never fails.
func (p spread) Write(b []byte) (int, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for pieces, how := range p.j.waiting {
		if how != reads {
			continue
		}
		select {
		case pieces <- string(b):
		default:
		}
	}
	return len(b), nil
}

// gate is a writer that can be closed: what comes later is dropped.
type gate struct {
	mu sync.Mutex
	w  io.Writer
}

// Write never fails: the making is worth more than its words.
func (g *gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w != nil {
		_, _ = g.w.Write(b)
	}
	return len(b), nil
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w = nil
}
