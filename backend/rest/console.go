package rest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ci/backend/rpc"
	"ci/pkg/ci"
)

// consolePoll is how often a follower looks without being woken; the bus may lose messages.
const consolePoll = time.Second

// consoleRequest is what a caller wants of a console.
type consoleRequest struct {
	run    *ci.Run
	offset int64
	follow bool
	sse    bool
}

// serveConsole is one URL for a console live and finished. As it is: with
// Range, length and, once sealed, ETag. ?follow=1: from ?offset on until the run is
// done. Accept: text/event-stream: the same, as events.
func (s *server) serveConsole(w *recorder, r *http.Request, vars []string) error {
	run, err := s.readable(r, vars[0], vars[1])
	if err != nil {
		return err
	}
	q, err := consoleQuery(r)
	if err != nil {
		return err
	}
	if err := run.ConsoleExpired(); err != nil {
		return err
	}
	q.run = run
	h := w.Header()
	h.Add("Vary", "Accept")
	h.Set("X-Console-Sealed", strconv.FormatBool(run.Done()))
	h.Set("X-Console-Truncated", strconv.FormatBool(run.Console.Truncated))
	end, err := s.consoleEnd(r.Context(), run)
	if err != nil {
		return err
	}
	if q.offset > end {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", end))
		return errRange(end, "the console has %d bytes at present; offset %d is behind its end", end, q.offset)
	}
	switch {
	case q.sse:
		return s.consoleEvents(w, r, q)
	case q.follow:
		return s.consoleFollow(w, r, q)
	}
	return s.consoleWhole(w, r, q, end)
}

func consoleQuery(r *http.Request) (consoleRequest, error) {
	values, err := parseQuery(r.URL.RawQuery, []string{"follow", "offset"})
	if err != nil {
		return consoleRequest{}, err
	}
	q := consoleRequest{sse: accepts(r, "text/event-stream")}
	switch values["follow"] {
	case "1", "true":
		q.follow = true
	case "", "0", "false":
	default:
		return q, queryError([]ci.Field{{Path: "follow", Message: "is not 1 or 0"}})
	}
	text, path := values["offset"], "offset"
	if last := r.Header.Get("Last-Event-ID"); q.sse && last != "" {
		text, path = last, "Last-Event-ID"
	}
	if text != "" {
		if !digits(text) {
			return q, queryError([]ci.Field{{Path: path, Message: "is not a number of bytes"}})
		}
		q.offset = number(text)
	}
	if r.Header.Get("Range") != "" && (q.sse || q.follow || q.offset > 0) {
		return q, ci.Errorf(ci.CodeInvalid, "a Range header is not possible together with follow, offset or events; offset says where to begin")
	}
	return q, nil
}

// accepts says whether the caller names a media type in Accept.
func accepts(r *http.Request, kind string) bool {
	for _, v := range r.Header.Values("Accept") {
		for _, part := range strings.Split(v, ",") {
			name, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), kind) {
				return true
			}
		}
	}
	return false
}

// consoleEnd is how many bytes there are. A sealed console's are counted in its run.
func (s *server) consoleEnd(ctx context.Context, run *ci.Run) (int64, error) {
	if run.Done() {
		return run.Console.Bytes, nil
	}
	return s.Console.End(ctx, run.ID)
}

func (s *server) consoleWhole(w *recorder, r *http.Request, q consoleRequest, end int64) error {
	c := content{
		size:        end - q.offset,
		contentType: rpc.ConsoleType,
		final:       q.run.Done(),
		open: func(from, to int64) (io.ReadCloser, error) {
			return s.openConsole(r.Context(), q.run, q.offset+from, q.offset+to)
		},
	}
	if q.run.Done() && q.run.Console.SHA256 != "" {
		c.etag = `"` + q.run.Console.SHA256 + offsetMark(q.offset) + `"`
	}
	return s.serveContent(w, r, c)
}

// openConsole opens some bytes of a console whose first one is there, so that
// one that retention removes at this moment is told of as such, and not cut off
// behind the headers of an answer.
func (s *server) openConsole(ctx context.Context, run *ci.Run, from, to int64) (io.ReadCloser, error) {
	body, err := s.Console.Reader(ctx, run.ID, from, to)
	if err != nil || from >= to {
		return body, err
	}
	begun := bufio.NewReaderSize(body, 16) // what is larger passes it by
	if _, err := begun.Peek(1); err != nil {
		if err == io.EOF {
			err = errShort(run.ID, from, to)
		}
		return nil, errors.Join(cmp.Or(s.consoleWent(ctx, run), err), body.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{begun, body}, nil
}

// consoleWent is the error of a console that has come to be kept no longer
// since our look at its run; nil when it is kept.
func (s *server) consoleWent(ctx context.Context, run *ci.Run) error {
	now, err := s.Store.GetRun(ctx, run.Job, run.ID)
	if err != nil {
		return err
	}
	return now.ConsoleExpired()
}

// offsetMark keeps the ETags of a whole console and of its rest apart.
func offsetMark(offset int64) string {
	if offset == 0 {
		return ""
	}
	return "-" + strconv.FormatInt(offset, 10)
}

// consoleFollow sends the console as it grows, at the reader's own pace. A
// reader that is behind reads from the store; the run never waits for it.
func (s *server) consoleFollow(w *recorder, r *http.Request, q consoleRequest) error {
	h := w.Header()
	h.Set("Content-Type", rpc.ConsoleType)
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	out := s.newStream(w)
	if err := out.rc.Flush(); err != nil {
		return nil // a writer that can't stream has nobody behind it
	}
	at := q.offset
	return s.follow(r.Context(), q.run, func(ctx context.Context, run *ci.Run, end int64) error {
		n, err := s.copyConsole(ctx, out, run.ID, at, end)
		at += n
		return err
	}, nil)
}

// copyConsole sends the bytes from at to end.
func (s *server) copyConsole(ctx context.Context, out *stream, run, at, end int64) (int64, error) {
	if at >= end {
		return 0, nil
	}
	body, err := s.Console.Reader(ctx, run, at, end)
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }() // it was only read
	n, rerr, werr := out.copyFrom(io.LimitReader(body, end-at))
	if werr != nil {
		return n, errGone
	}
	if rerr == nil && n < end-at {
		rerr = errShort(run, at+n, end)
	}
	if rerr != nil {
		return n, rerr
	}
	if err := out.rc.Flush(); err != nil {
		return n, errGone
	}
	return n, nil
}

// errShort cuts a stream off whose rest went while it was read: half a console must not look like a whole one.
func errShort(run, at, end int64) error {
	return ci.Errorf(ci.CodeExpired, "the console of run %d went while it was read, at byte %d of %d: it is kept no longer", run, at, end)
}
