package api

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"ci/pkg/api/convert"
	"ci/pkg/ci"
)

const (
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
)

// retry calls f until it succeeds, fails for good, or the time for it is over.
// f returns how long the server asked to stay away, 0 if it did not.
func (c *Client) retry(ctx context.Context, f func() (time.Duration, error)) error {
	over := time.Now().Add(c.config.Retry)
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		asked, err := f()
		if err == nil || !passing(err) || ctx.Err() != nil {
			return err
		}
		wait := max(asked, jitter(pause))
		if time.Now().Add(wait).After(over) {
			return err
		}
		if sleep(ctx, wait) != nil {
			return err
		}
	}
}

// passing says whether an error may go away by itself.
func passing(err error) bool {
	code := ci.CodeOf(err)
	return code == ci.CodeUnavailable || code == ci.CodeTooMany
}

// jitter keeps many clients from coming back at the same moment.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter reads Retry-After in seconds, at most a minute.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, time.Minute)
}

// fault makes the ci.Error of what a call returned. The end of ctx stays visible to errors.Is.
func (c *Client) fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return &ci.Error{Code: ci.CodeUnavailable, Message: "the call was given up: " + ctx.Err().Error(), Cause: ctx.Err()}
	}
	out := convert.FromConnect(err)
	var e *ci.Error
	if errors.As(out, &e) && e.Code == ci.CodeUnavailable && !answered(err) {
		e.Message = fmt.Sprintf("the server at %s can't be reached: %s", c.base.Redacted(), e.Message)
	}
	return out
}
