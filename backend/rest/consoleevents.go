package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"unicode/utf8"

	"ci/pkg/ci"
)

// maxLine is how many bytes of a line are held back in wait for its end.
const maxLine = 64 << 10

// consoleEnding is the data of the last event of a console.
type consoleEnding struct {
	Outcome   ci.Outcome `json:"outcome"`
	Bytes     int64      `json:"bytes"`
	SHA256    string     `json:"sha256"`
	Truncated bool       `json:"truncated"`
}

// consoleEvents sends the console as events. The data of each is whole lines
// without the last one's end; its id is the offset behind them, so that a
// reader which was cut off goes on exactly there. Bytes that no line end follows come
// as an event "partial": at the console's end, when they are very many, or
// when nothing followed for a moment. The event "end" comes last.
func (s *server) consoleEvents(w *recorder, r *http.Request, q consoleRequest) error {
	out, err := s.newSSE(w, r)
	if err != nil {
		return nil // a HEAD request, or a reader that is gone
	}
	c := &consoleSender{server: s, out: out, at: q.offset, sent: q.offset}
	return s.follow(r.Context(), q.run, c.grown, out.ping)
}

type consoleSender struct {
	server *server
	out    *sse
	at     int64 // read so far
	sent   int64 // sent so far; between the two lies held
	held   []byte
}

func (c *consoleSender) grown(ctx context.Context, run *ci.Run, end int64) error {
	idle := c.at >= end
	if !idle {
		if err := c.read(ctx, run.ID, end); err != nil {
			return err
		}
	}
	if idle || run.Done() {
		if err := c.partial(len(c.held)); err != nil {
			return err
		}
	}
	if !run.Done() {
		return nil
	}
	data, err := json.Marshal(consoleEnding{run.Outcome, run.Console.Bytes, run.Console.SHA256, run.Console.Truncated})
	if err != nil {
		return err
	}
	return c.out.event("end", c.sent, string(data))
}

// read sends all whole lines up to end and holds the rest.
func (c *consoleSender) read(ctx context.Context, run, end int64) error {
	body, err := c.server.Console.Reader(ctx, run, c.at, end)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was only read
	src := io.LimitReader(body, end-c.at)
	buf := make([]byte, maxLine)
	for {
		n, err := src.Read(buf)
		c.at += int64(n)
		c.held = append(c.held, buf[:n]...)
		if serr := c.lines(); serr != nil {
			return serr
		}
		if err == io.EOF && c.at < end {
			return errShort(run, c.at, end)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lines sends what is held up to its last line end.
func (c *consoleSender) lines() error {
	i := bytes.LastIndexByte(c.held, '\n')
	if i < 0 {
		if len(c.held) > maxLine {
			return c.partial(wholeRunes(c.held))
		}
		return nil
	}
	text := c.held[:i]
	c.sent += int64(i + 1)
	if err := c.out.event("", c.sent, string(bytes.TrimSuffix(text, []byte("\r")))); err != nil {
		return err
	}
	c.held = append(c.held[:0], c.held[i+1:]...)
	return nil
}

// partial sends the first n held bytes, as no whole line.
func (c *consoleSender) partial(n int) error {
	if n == 0 {
		return nil
	}
	c.sent += int64(n)
	err := c.out.event("partial", c.sent, string(c.held[:n]))
	c.held = append(c.held[:0], c.held[n:]...)
	return err
}

// wholeRunes is the length of b without a character at its end that has only begun.
func wholeRunes(b []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}
