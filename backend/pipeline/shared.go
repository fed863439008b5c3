package pipeline

import (
	"context"
	"sync"
	"time"
)

// shared lets many that wait for the same thing look at it together: however many
// they are, it is asked for once in each glance.
type shared[K comparable, V any] struct {
	mu    sync.Mutex
	looks map[K]*look[V]
}

// look is what was last seen of one thing.
type look[V any] struct {
	users int
	turn  chan struct{} // whose turn it is to look; of one place
	at    time.Time
	seen  V
}

// join says that somebody looks at a thing until leave is called.
func (s *shared[K, V]) join(k K) (l *look[V], leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looks == nil {
		s.looks = map[K]*look[V]{}
	}
	if l = s.looks[k]; l == nil {
		l = &look[V]{turn: make(chan struct{}, 1)}
		s.looks[k] = l
	}
	l.users++
	return l, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.looks, k)
		}
	}
}

// now is how the thing is, as it was seen after a moment; ask finds out when
// nobody has since. An error is of one caller alone: another's may have gone.
func (l *look[V]) now(ctx context.Context, after time.Time, ask func(context.Context) (V, error)) (seen V, err error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return seen, ctx.Err()
	}
	if l.at.After(after) {
		return l.seen, nil
	}
	begun := time.Now()
	if seen, err = ask(ctx); err == nil {
		l.at, l.seen = begun, seen
	}
	return seen, err
}
