package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
	"time"

	"ci/agentd/mask"
	"ci/pkg/ci"
)

// When console output is sent: the first bytes almost at once, steady output
// in pieces of a second or of blockSize bytes. In between the pace slows down.
const (
	blockSize = 1 << 20
	firstPace = 30 * time.Millisecond
	lastPace  = time.Second
)

// prefix begins each line that is ours and not the script's.
const prefix = "ci: "

// slack is how many bytes of our own lines are stored beyond the console's limit.
const slack = 64 << 10

// errSealed is what a writer gets that is later than the run's end.
var errSealed = errors.New("the console is sealed")

// console takes a run's output and sends it on in order. It holds at most two
// blocks: one that fills and one that is being sent. When both are full a
// writer waits, and so does the script behind it.
type console struct {
	limit int64      // bytes of script output; 0 is no limit
	mask  *mask.Mask // of our own lines; Write takes what is masked already
	send  func(ctx context.Context, offset int64, data []byte) error

	mu        sync.Mutex
	room      sync.Cond // the sender has taken a block, or err is set
	buf       []byte
	bytes     int64 // accepted so far
	midLine   bool
	truncated bool
	closed    bool
	err       error
	wake      chan struct{} // there is something for the sender to look at
	done      chan struct{} // the sender has returned

	// Only the sender uses these.
	sum   hash.Hash
	spare []byte
	sent  int64
}

func newConsole(limit int64, send func(context.Context, int64, []byte) error) *console {
	c := &console{limit: limit, send: send, sum: sha256.New(), wake: make(chan struct{}, 1), done: make(chan struct{})}
	c.room.L = &c.mu
	return c
}

// Write takes output of the script. It waits while the backend is slow and
// fails only when the run is not ours any more. What is over the limit is dropped.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(p)
	for len(p) > 0 && !c.truncated {
		for len(c.buf) >= blockSize && c.err == nil {
			c.room.Wait()
		}
		if c.err != nil {
			return n - len(p), c.err
		}
		piece := p[:min(len(p), blockSize-len(c.buf))]
		p = p[len(piece):]
		if c.limit > 0 && c.bytes+int64(len(piece)) > c.limit {
			c.add(piece[:max(0, c.limit-c.bytes)])
			c.truncated = true
			c.line("the console has reached its limit of " + ci.Bytes(c.limit) + "; what the script prints from here on is not stored, the run goes on")
			break
		}
		c.add(piece)
	}
	return n, c.err
}

// say writes a line of our own, on a line of its own. It never waits: the
// lines are few and short.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line(fmt.Sprintf(format, args...))
}

// settle waits until there is room for more, or the run is not ours any more.
func (c *console) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.buf) >= blockSize && c.err == nil {
		c.room.Wait()
	}
}

// line adds one of our lines. c.mu is held.
func (c *console) line(text string) {
	if c.err != nil || c.closed || (c.limit > 0 && c.bytes > c.limit+slack) {
		return
	}
	var b strings.Builder
	if c.midLine {
		b.WriteByte('\n')
	}
	for part := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		b.WriteString(prefix + strings.TrimPrefix(c.mask.String(printable(part)), prefix) + "\n")
	}
	c.add([]byte(b.String()))
}

// add takes bytes and wakes the sender when it has a reason to look. c.mu is held.
func (c *console) add(p []byte) {
	if len(p) == 0 {
		return
	}
	first := len(c.buf) == 0
	c.buf = append(c.buf, p...)
	c.bytes += int64(len(p))
	c.midLine = p[len(p)-1] != '\n'
	if first || len(c.buf) >= blockSize {
		c.look()
	}
}

func (c *console) look() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// seal sends what is left and returns what the console is. It fails when the
// run is not ours any more.
func (c *console) seal(ctx context.Context) (ci.Console, error) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.look()
	<-c.done // it has the same context
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(c.err, ctx.Err()); err != nil {
		return ci.Console{}, err
	}
	c.err = errSealed
	return ci.Console{Bytes: c.sent, SHA256: hex.EncodeToString(c.sum.Sum(nil)), Truncated: c.truncated}, nil
}

// run is the sender: it sends blocks as they are due until the console is
// sealed or ctx ends.
func (c *console) run(ctx context.Context) {
	defer close(c.done)
	pace, last := firstPace, time.Time{}
	for c.due(ctx, pace) {
		if time.Since(last) > 2*lastPace {
			pace = firstPace
		}
		pace, last = min(2*pace, lastPace), time.Now()
		block := c.take()
		c.sum.Write(block)
		if err := c.send(ctx, c.sent, block); err != nil {
			c.fail(err)
			return
		}
		c.sent += int64(len(block))
		c.spare = block[:0]
	}
	if err := ctx.Err(); err != nil {
		c.fail(err)
	}
}

// due waits until a block should be sent: it is full, its first byte is as old
// as pace, or the console is sealed. False means that there is nothing more to send.
func (c *console) due(ctx context.Context, pace time.Duration) bool {
	var timer <-chan time.Time
	for {
		c.mu.Lock()
		n, closed := len(c.buf), c.closed
		c.mu.Unlock()
		switch {
		case ctx.Err() != nil || (closed && n == 0):
			return false
		case closed || n >= blockSize:
			return true
		case n > 0 && timer == nil:
			timer = time.After(pace)
		}
		select {
		case <-ctx.Done():
			return false
		case <-timer:
			return true
		case <-c.wake:
		}
	}
}

// take swaps the two blocks.
func (c *console) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	block := c.buf
	c.buf, c.spare = c.spare, nil
	c.room.Broadcast()
	return block
}

// fail makes every writer give up.
func (c *console) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = errors.Join(errGone, err)
	c.buf = nil
	c.room.Broadcast()
}
