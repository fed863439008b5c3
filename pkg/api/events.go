package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
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
// they happen; 0 begins with the oldest that is kept, -1 with the next. After a cut connection
// it goes on where it was. It ends with ctx, or with an error that it yields last.
func (c *Client) Events(ctx context.Context, after int64) iter.Seq2[ci.Event, error] {
	return func(yield func(ci.Event, error) bool) {
		for {
			more, err := c.events(ctx, &after, yield)
			if !more {
				return
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil && !passing(err) {
				yield(ci.Event{}, err)
				return
			}
			if sleep(ctx, jitter(firstPause)) != nil {
				return
			}
		}
	}
}

// events reads one connection to its end. more is false once the caller has had enough.
func (c *Client) events(ctx context.Context, after *int64, yield func(ci.Event, error) bool) (more bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := url.Values{}
	if *after >= 0 {
		q.Set("after", strconv.FormatInt(*after, 10))
	}
	var lines *bufio.Scanner
	err = c.retry(ctx, func() (time.Duration, error) {
		resp, wait, err := c.get(ctx, "/events", q, map[string]string{"Accept": "application/x-ndjson"})
		if err == nil {
			context.AfterFunc(ctx, func() { _ = resp.Body.Close() })
			lines = bufio.NewScanner(resp.Body)
		}
		return wait, err
	})
	if err != nil {
		return true, err
	}
	lines.Buffer(nil, 1<<20)
	alive := time.AfterFunc(silence, cancel)
	defer alive.Stop()
	for lines.Scan() {
		alive.Reset(silence)
		if len(lines.Bytes()) == 0 {
			continue
		}
		var e wireEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			// Cut within a line: the connection is at its end, and the event comes again.
			return true, ci.Errorf(ci.CodeUnavailable, "an event could not be read: %w", err)
		}
		*after = e.Seq
		if !yield(ci.Event(e), nil) {
			return false, nil
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return true, ci.Errorf(ci.CodeInternal, "the server sent an event of more than a MiB")
	}
	return true, nil
}
