package nats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"ci/pkg/ci"
)

// wakePrefix and a lane's two tokens are the subject of its wake-ups,
// tookPrefix and the same that of the news that a message was taken. They are
// core NATS messages: whoever does not wait at the moment misses nothing, since
// every Pull looks before it waits.
//
// A wake-up does not go to everyone who waits: a thousand agents would hear of
// each run. Pulls listen in queue groups, of which each message reaches one
// member. A group's name has the level of how long its members hold back (see
// PullAfter), so that the busiest are among those who hear, and a share that is
// drawn for each Pull, so that one who sleeps keeps few others from hearing.
// Who takes a message and sees more of them wakes further ones.
//
// If all who are woken asked for the one message, the server would do little
// else. So those that hold back listen meanwhile whether it is gone. Both kinds
// of news carry the sequence in the stream, since they come from different
// senders and in any order: what was taken when nothing was left ends the wait
// only for what was stored before it.
const (
	wakePrefix = "wake."
	tookPrefix = "took."

	// Of how many groups one wake-up reaches a member: levels times shares.
	levels     = 5
	shares     = 8
	levelWidth = 6 * time.Millisecond
)

// group is the queue group of a Pull that holds back for so long.
func group(hesitation time.Duration) string {
	return fmt.Sprintf("%d.%d", min(int(hesitation/levelWidth), levels-1), rand.IntN(shares))
}

// wakes are the Pulls of this process that wait.
type wakes struct {
	mu      sync.Mutex
	waiting map[*waiter]bool
}

// waiter is one Pull.
type waiter struct {
	lanes []ci.Lane
	mu    sync.Mutex
	// woken are lanes with news, and the sequence of the newest message there.
	woken map[ci.Lane]uint64
	ring  chan struct{} // holds one
}

func newWaiter(lanes []ci.Lane) *waiter {
	return &waiter{lanes: lanes, woken: map[ci.Lane]uint64{}, ring: make(chan struct{}, 1)}
}

func (w *wakes) add(v *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[*waiter]bool{}
	}
	w.waiting[v] = true
}

func (w *wakes) remove(v *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, v)
}

// all wakes every Pull of this process, in all its lanes.
func (w *wakes) all() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for v := range w.waiting {
		for _, l := range v.lanes {
			v.wake(l, unknownSeq)
		}
	}
}

// unknownSeq is newer than any message: it may not be taken for gone.
const unknownSeq = math.MaxUint64

// wake says that a lane has a message, the one with the number seq at the newest.
func (v *waiter) wake(l ci.Lane, seq uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.woken[l] = max(v.woken[l], seq)
	select {
	case v.ring <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// keep says that the news of some lanes is still to be looked at, by whoever does
// so next.
func (v *waiter) keep(lanes []ci.Lane) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, l := range lanes {
		v.woken[l] = unknownSeq
	}
}

// empty says that nothing was left in a lane after the message seq was taken.
func (v *waiter) empty(l ci.Lane, seq uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if newest, ok := v.woken[l]; ok && newest <= seq {
		delete(v.woken, l)
	}
}

// news are the lanes with news, in the order of preference.
func (v *waiter) news() []ci.Lane {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(v.lanes), func(l ci.Lane) bool {
		_, ok := v.woken[l]
		return !ok
	})
}

// take returns the lanes with news, once.
func (v *waiter) take() []ci.Lane {
	news := v.news()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, l := range news {
		delete(v.woken, l)
	}
	return news
}

func newsSubject(kind string, l ci.Lane) string { return kind + strings.TrimSuffix(prefix(l), ".") }

// news reads a wake-up's lane and sequence, which is unknownSeq when it has none.
func news(kind string, m *nats.Msg) (l ci.Lane, seq uint64, ok bool) {
	l, ok = laneOf(strings.TrimPrefix(m.Subject, kind) + ".*")
	seq, err := strconv.ParseUint(string(m.Data), 10, 64)
	if err != nil {
		seq = unknownSeq
	}
	return l, seq, ok
}

// attend begins to receive the wake-ups of a Pull; leave ends it. What the Pull
// then asks the server comes after it, so nothing comes in between unseen.
func (d *Driver) attend(v *waiter, hesitation time.Duration) (leave func(), err error) {
	in := group(hesitation)
	heard := func(m *nats.Msg) {
		if l, seq, ok := news(wakePrefix, m); ok {
			v.wake(l, seq)
		}
	}
	stop, err := d.each(v.lanes, func(l ci.Lane) (*nats.Subscription, error) {
		return d.conn.QueueSubscribe(newsSubject(wakePrefix, l), in, heard)
	})
	d.wakes.add(v)
	return func() {
		d.wakes.remove(v)
		stop()
		for _, l := range v.take() { // somebody else has to look instead
			d.wake(l, 0)
		}
	}, err
}

// hearTook begins to receive the news that messages of the lanes are gone.
func (d *Driver) hearTook(v *waiter, lanes []ci.Lane) (stop func(), err error) {
	return d.each(lanes, func(l ci.Lane) (*nats.Subscription, error) {
		return d.conn.Subscribe(newsSubject(tookPrefix, l), func(m *nats.Msg) {
			if l, seq, ok := news(tookPrefix, m); ok && seq != unknownSeq {
				v.empty(l, seq)
			}
		})
	})
}

// each subscribes for each lane; stop ends all that were begun.
func (d *Driver) each(lanes []ci.Lane, subscribe func(ci.Lane) (*nats.Subscription, error)) (stop func(), err error) {
	var subs []*nats.Subscription
	stop = func() {
		for _, s := range subs {
			_ = s.Unsubscribe() // a closed connection has none
		}
	}
	for _, l := range lanes {
		s, err := subscribe(l)
		if err != nil {
			return stop, d.failure(err)
		}
		subs = append(subs, s)
	}
	return stop, nil
}

// wake tells some of those who wait that a lane has a message, the one with the
// number seq at the newest; 0 is not known. It may be lost.
func (d *Driver) wake(l ci.Lane, seq uint64) {
	var data []byte
	if seq > 0 && seq != unknownSeq {
		data = strconv.AppendUint(nil, seq, 10)
	}
	_ = d.conn.Publish(newsSubject(wakePrefix, l), data)
}

// took tells those who hold back that there is nothing left to ask for, or wakes
// others for what there is.
func (d *Driver) took(m *nats.Msg, l ci.Lane) {
	meta, err := m.Metadata()
	switch {
	case err != nil:
	case meta.NumPending > 0:
		// What is left is newer than this one, and however old it counts as
		// gone once the lane is empty.
		d.wake(l, meta.Sequence.Stream+1)
	case d.server == nil: // else nobody holds back
		_ = d.conn.Publish(newsSubject(tookPrefix, l), strconv.AppendUint(nil, meta.Sequence.Stream, 10))
	}
}

// wakeLater does so when a message that was given back is due.
func (d *Driver) wakeLater(l ci.Lane, delay time.Duration) {
	if delay <= 0 {
		d.wake(l, 0)
		return
	}
	// A little later than the server, which counts from when it was told, and
	// once more should it be late. After Close the timers find the connection
	// closed and do nothing.
	for _, margin := range []time.Duration{2 * time.Millisecond, 300 * time.Millisecond} {
		time.AfterFunc(delay+margin, func() { d.wake(l, 0) })
	}
}
