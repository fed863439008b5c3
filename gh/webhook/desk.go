package webhook

import (
	"strings"
	"sync"

	"ci/pkg/ci"
)

const (
	// workers is how many deliveries are worked on at once. Most of that is waiting for a forge.
	workers = 8
	// maxInHand and maxBytesInHand are how many deliveries a process holds, and how
	// long their bodies are together, before it takes no more: other processes can.
	maxInHand      = 512
	maxBytesInHand = 64 << 20
)

// desk is what a process has in hand. Deliveries about one repository make a line,
// which is acted on in the order in which they came; no line waits for another's.
type desk struct {
	slots chan struct{}
	wake  func() // there is room again

	mu    sync.Mutex
	lines map[string][]*ci.Webhook // one that is here is being worked off
	count int
	bytes int
}

func newDesk(wake func()) *desk {
	return &desk{slots: make(chan struct{}, workers), wake: wake, lines: map[string][]*ci.Webhook{}}
}

func (d *desk) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.isFull()
}

func (d *desk) isFull() bool { return d.count >= maxInHand || d.bytes >= maxBytesInHand }

// add puts a delivery at the end of its line; begins says that the line is new.
func (d *desk) add(w *ci.Webhook) (line string, begins bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	line = w.Forge + " " + strings.ToLower(w.Repository)
	there, is := d.lines[line]
	d.lines[line] = append(there, w)
	d.count++
	d.bytes += len(w.Body)
	return line, !is
}

// first is the delivery that a line begins with.
func (d *desk) first(line string) *ci.Webhook {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lines[line][0]
}

// next takes away the first and returns the one behind it; nil ends the line.
func (d *desk) next(line string) *ci.Webhook {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.isFull()
	d.count--
	d.bytes -= len(d.lines[line][0].Body)
	d.lines[line] = d.lines[line][1:]
	if was && !d.isFull() {
		d.wake()
	}
	if len(d.lines[line]) == 0 {
		delete(d.lines, line)
		return nil
	}
	return d.lines[line][0]
}
