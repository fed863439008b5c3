package rabbitmq

import (
	"sync"
	"time"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// live is the account of which runs have a message. Processes that publish
// keep it; they learn from marks on the bus what others have published and
// acknowledged. It may err, as all of them may end and begin anew, and marks be
// lost. Neither does harm for long: what is missing in it is published twice,
// and the second one is refused at the claim; what is in it and not in the
// queue is found out by counting.
type live struct {
	doubt time.Duration // see Config.Doubt

	mu   sync.Mutex
	runs map[int64]entry
}

type entry struct {
	lane ci.Lane
	at   time.Time
}

const (
	// slack is how many messages, and which part of them, may be in the hands
	// of agents, or on their way there, without being missed.
	slack, slackPart = 100, 10
	// longest is when an entry is dropped in any case: a run that waits for
	// days gets one message more every hour, not more.
	longest = time.Hour
)

func (v *live) add(ms []queue.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.runs == nil {
		v.runs = map[int64]entry{}
	}
	now := time.Now()
	for _, m := range ms {
		if _, known := v.runs[m.Run]; !known {
			v.runs[m.Run] = entry{m.Lane, now}
		}
	}
}

// gone drops runs whose message was acknowledged.
func (v *live) gone(runs ...int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range runs {
		delete(v.runs, r)
	}
}

// missing returns the messages whose runs have none, each run once. What the
// database says was overtaken is not looked for by counting: a few that are lost of a lane
// that others keep full would not be missed.
func (v *live) missing(ms []queue.Message) []queue.Message {
	v.mu.Lock()
	defer v.mu.Unlock()
	seen := map[int64]bool{}
	var fresh []queue.Message
	for _, m := range ms {
		if m.Overtaken {
			delete(v.runs, m.Run)
		}
		if _, known := v.runs[m.Run]; !known && !seen[m.Run] {
			seen[m.Run] = true
			fresh = append(fresh, m)
		}
	}
	return fresh
}

// doubtful says whether a lane has entries that are old enough to be looked for.
func (v *live) doubtful(l ci.Lane) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.old(l) > 0
}

// old counts the doubtful entries of a lane and drops the oldest. v.mu is held.
func (v *live) old(l ci.Lane) (n int) {
	for run, e := range v.runs {
		switch age := time.Since(e.at); {
		case age > longest:
			delete(v.runs, run)
		case e.lane == l && age > v.doubt:
			n++
		}
	}
	return n
}

// audit compares the account of a lane with the messages that wait there.
// When too few do, the doubtful entries are dropped, and it returns true.
func (v *live) audit(l ci.Lane, waiting int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.old(l)
	if n == 0 || waiting > 0 && n-waiting <= slack+n/slackPart {
		return false
	}
	v.drop(l, v.doubt)
	return true
}

// forget drops a lane whose queue is gone.
func (v *live) forget(l ci.Lane) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drop(l, -1)
}

func (v *live) drop(l ci.Lane, older time.Duration) {
	for run, e := range v.runs {
		if e.lane == l && time.Since(e.at) > older {
			delete(v.runs, run)
		}
	}
}
