package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/url"
	"strconv"
	"time"

	"ci/pkg/ci"
)

// wireEvent is an event as /events writes it.
type wireEvent struct {
	Seq     int64        `json:"seq"`
	Type    ci.EventType `json:"type"`
	Run     int64        `json:"run"`
	Job     string       `json:"job"`
	Phase   ci.Phase     `json:"phase"`
	Outcome ci.Outcome   `json:"outcome"`
	At      time.Time    `json:"at"`
}

// silence is how long a stream may bring nothing, not even a ping, before it counts as cut.
const silence = 45 * time.Second

// Events goes through all changes of runs from the one after seq after on, as
// they happen; 0 begins with the oldest that is kept, -1 with the next. After a
// cut connection it goes on where it was. It ends with ctx, or with an error
// that it yields last: the server is away for too long, or refuses.
func (c *Client) Events(ctx context.Context, after int64) iter.Seq2[ci.Event, error] {
	return func(yield func(ci.Event, error) bool) {
		for ctx.Err() == nil {
			more, err := c.events(ctx, &after, yield)
			if !more {
				return
			}
			if err != nil {
				if ctx.Err() == nil {
					yield(ci.Event{}, err)
				}
				return
			}
			if sleep(ctx, jitter(firstPause)) != nil {
				return
			}
		}
	}
}

// events reads one connection to its end. more is false once the caller has
// had enough; err is about connections that could not be had.
func (c *Client) events(ctx context.Context, after *int64, yield func(ci.Event, error) bool) (more bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := c.openEvents(ctx, after)
	if err != nil {
		return true, err
	}
	defer func() { _ = body.Close() }() // it was only read
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	alive := time.AfterFunc(silence, cancel)
	defer alive.Stop()
	for lines.Scan() {
		alive.Reset(silence)
		if len(lines.Bytes()) == 0 {
			continue
		}
		var e wireEvent
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			return true, nil // cut within a line: the event comes again
		}
		*after = e.Seq
		if !yield(ci.Event(e), nil) {
			return false, nil
		}
	}
	return true, nil
}

// LastEvent returns the number of the newest change: what happens from now on comes after it.
func (c *Client) LastEvent(ctx context.Context) (seq int64, err error) {
	seq = -1
	body, err := c.openEvents(ctx, &seq)
	if err != nil {
		return 0, err
	}
	return seq, body.Close()
}

// openEvents connects and moves after to where the stream begins.
func (c *Client) openEvents(ctx context.Context, after *int64) (body io.ReadCloser, err error) {
	q := url.Values{}
	if *after >= 0 {
		q.Set("after", strconv.FormatInt(*after, 10))
	}
	err = c.retry(ctx, func() (time.Duration, error) {
		resp, wait, err := c.get(ctx, "/events", q, map[string]string{"Accept": "application/x-ndjson"})
		if err != nil {
			return wait, err
		}
		body = resp.Body
		if begin, err := strconv.ParseInt(resp.Header.Get("X-Events-After"), 10, 64); err == nil {
			*after = begin
		}
		return 0, nil
	})
	return body, err
}
