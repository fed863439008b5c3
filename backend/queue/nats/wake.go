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

// waiter is one Pull.
type waiter struct {
	lanes []ci.Lane
	mu    *sync.Mutex // of wakes
	woken map[ci.Lane]bool
	ring  chan struct{} // holds one
}

// add registers a waiter. It must be registered before the lanes are looked
// into, so that nothing comes in between unseen.
func (w *wakes) add(lanes []ci.Lane) *waiter {
	v := &waiter{lanes: lanes, mu: &w.mu, woken: map[ci.Lane]bool{}, ring: make(chan struct{}, 1)}
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

// lane wakes who waits for a lane.
func (w *wakes) lane(l ci.Lane) { w.each(func(o ci.Lane) bool { return o == l }) }

// all wakes everyone.
func (w *wakes) all() { w.each(func(ci.Lane) bool { return true }) }

func (w *wakes) each(named func(ci.Lane) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for v := range w.waiting {
		for _, l := range v.lanes {
			if !named(l) {
				continue
			}
			v.woken[l] = true
			select {
			case v.ring <- struct{}{}:
			default: // it has not looked since the last time
			}
		}
	}
}

// take returns the lanes with news, in the order of preference, once.
func (v *waiter) take() []ci.Lane {
	v.mu.Lock()
	defer v.mu.Unlock()
	var news []ci.Lane
	for _, l := range v.lanes {
		if v.woken[l] {
			news = append(news, l)
		}
	}
	clear(v.woken)
	return news
}

func wakeSubject(l ci.Lane) string { return wakePrefix + strings.TrimSuffix(prefix(l), ".") }

// listen begins to receive wake-ups, for as long as the connection lives.
func (d *Driver) listen() error {
	_, err := d.conn.Subscribe(wakePrefix+">", func(m *nats.Msg) {
		if l, ok := laneOf(strings.TrimPrefix(m.Subject, wakePrefix) + ".*"); ok {
			d.wakes.lane(l)
		}
	})
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
