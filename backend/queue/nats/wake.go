package nats

import (
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"ci/pkg/ci"
)

// wakePrefix and a lane's two tokens are the subject of its wake-ups. They
// are core NATS messages: whoever does not wait at the moment misses nothing,
// since every Pull looks before it waits.
const wakePrefix = "wake."

// wakes are the Pulls of this process that wait.
type wakes struct {
	mu      sync.Mutex
	waiting map[*waiter]bool
}

type waiter struct {
	subjects []string
	woken    chan struct{} // holds one
}

// add registers a waiter. It must be registered before the lanes are looked
// into, so that nothing comes in between unseen.
func (w *wakes) add(lanes []ci.Lane) *waiter {
	v := &waiter{woken: make(chan struct{}, 1)}
	for _, l := range lanes {
		v.subjects = append(v.subjects, wakeSubject(l))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[*waiter]bool{}
	}
	w.waiting[v] = true
	return v
}

func (w *wakes) remove(v *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, v)
}

func (w *wakes) lane(subject string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for v := range w.waiting {
		for _, s := range v.subjects {
			if s == subject {
				v.wake()
				break
			}
		}
	}
}

func (w *wakes) all() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for v := range w.waiting {
		v.wake()
	}
}

func (v *waiter) wake() {
	select {
	case v.woken <- struct{}{}:
	default: // it will look anyway
	}
}

func wakeSubject(l ci.Lane) string { return wakePrefix + strings.TrimSuffix(prefix(l), ".") }

// listen begins to receive wake-ups, for as long as the connection lives.
func (d *Driver) listen() error {
	_, err := d.conn.Subscribe(wakePrefix+">", func(m *nats.Msg) { d.wakes.lane(m.Subject) })
	if err == nil {
		err = d.conn.FlushTimeout(patience)
	}
	if err != nil {
		return d.failure(err)
	}
	return nil
}

// wake tells everyone that a lane has a message. It may be lost.
func (d *Driver) wake(l ci.Lane) { _ = d.conn.Publish(wakeSubject(l), nil) }

// wakeLater does so when a message that was given back is due.
func (d *Driver) wakeLater(l ci.Lane, delay time.Duration) {
	if delay <= 0 {
		d.wake(l)
		return
	}
	// A little later than the server, which counts from when it was told, and
	// once more should it be late. After Close the timers find the connection
	// closed and do nothing.
	for _, margin := range []time.Duration{2 * time.Millisecond, 300 * time.Millisecond} {
		time.AfterFunc(delay+margin, func() { d.wake(l) })
	}
}
