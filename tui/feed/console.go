package feed

import (
	"context"
	"io"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
)

// ConsoleGrew says that the console of a run has brought something, or ended.
type ConsoleGrew struct {
	Console *Console
	// Bytes is how many there are by now.
	Bytes int64
	// Over says that no more will come.
	Over bool
	// Err is why it broke off; it goes on at Again.
	Err   error
	Again time.Time
}

// Console streams a run's console into a writer, a piece for each command that
// Next makes, so that a fast console is read as fast as it is taken in and no faster.
type Console struct {
	feed   *Feed
	ref    ci.RunRef
	w      io.Writer
	ctx    context.Context
	cancel context.CancelFunc

	// Owned by the command that is under way; there is one at a time.
	body  io.ReadCloser
	buf   []byte
	at    int64
	pause time.Duration
}

// ConsoleTimed says when more of a console was stored.
type ConsoleTimed struct {
	Ref   ci.RunRef
	Times ci.ConsoleTimes
	Err   error
}

// ConsoleTimes asks when the parts of a console from byte from on were stored.
func (f *Feed) ConsoleTimes(ref ci.RunRef, from int64) tea.Cmd {
	return f.call(patience, func(ctx context.Context) tea.Msg {
		times, err := f.client.ConsoleTimes(ctx, ref.Job, ref.Run, from)
		return ConsoleTimed{ref, times, err}
	})
}

// Printed copies what a console has by now.
func (f *Feed) Printed(ref ci.RunRef, w io.Writer) error {
	ctx, cancel := context.WithTimeout(f.ctx, downloads)
	defer cancel()
	body, err := f.client.Console(ctx, ref.Job, ref.Run, 0, false)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read from
	_, err = io.Copy(w, body)
	return err
}

const (
	consolePiece = 256 << 10
	// frame is how long a piece gathers what comes in drops.
	frame = 30 * time.Millisecond
)

// Console begins to read a console from its first byte.
func (f *Feed) Console(ref ci.RunRef, w io.Writer) *Console {
	ctx, cancel := context.WithCancel(f.ctx)
	return &Console{feed: f, ref: ref, w: w, ctx: ctx, cancel: cancel, buf: make([]byte, consolePiece), pause: firstPause}
}

// Close ends the reading.
func (c *Console) Close() { c.cancel() }

// Next reads on, and ends with ConsoleGrew once something has come.
func (c *Console) Next() tea.Cmd {
	return func() tea.Msg {
		msg := c.next()
		if c.ctx.Err() != nil {
			c.shut()
			return nil
		}
		return msg
	}
}

func (c *Console) next() ConsoleGrew {
	if c.body == nil {
		body, err := c.feed.client.Console(c.ctx, c.ref.Job, c.ref.Run, c.at, true)
		if err != nil {
			return c.broken(err)
		}
		c.body = body
	}
	began := time.Now()
	for n := 0; n < len(c.buf); {
		k, err := c.body.Read(c.buf)
		if k > 0 {
			n += k
			c.at += int64(k)
			c.pause = firstPause
			if _, werr := c.w.Write(c.buf[:k]); werr != nil {
				c.shut()
				return ConsoleGrew{Console: c, Bytes: c.at, Err: werr, Over: true}
			}
		}
		if err == io.EOF {
			c.shut()
			return ConsoleGrew{Console: c, Bytes: c.at, Over: true}
		}
		if err != nil {
			return c.broken(err)
		}
		if time.Since(began) > frame {
			break
		}
	}
	return ConsoleGrew{Console: c, Bytes: c.at}
}

// broken waits before the reading goes on at the byte where it was.
func (c *Console) broken(err error) ConsoleGrew {
	c.shut()
	if !away(err) {
		return ConsoleGrew{Console: c, Bytes: c.at, Err: err, Over: true}
	}
	pause := c.pause
	c.pause = min(2*c.pause, longPause)
	return ConsoleGrew{Console: c, Bytes: c.at, Err: err, Again: c.feed.now().Add(pause)}
}

// Later is Next after the pause that a broken stream makes.
func (c *Console) Later(at time.Time) tea.Cmd {
	next := c.Next()
	return func() tea.Msg {
		t := time.NewTimer(at.Sub(c.feed.now()))
		defer t.Stop()
		select {
		case <-t.C:
			return next()
		case <-c.ctx.Done():
			return nil
		}
	}
}

func (c *Console) shut() {
	if c.body != nil {
		_ = c.body.Close() // it was only read
		c.body = nil
	}
}
