package rest

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"ci/backend/rpc"
	"ci/pkg/ci"
)

// readBody reads a JSON body. It is nil when there is none. Whoever sends
// slowly, or more than a request may have, is told so and disconnected.
func (s *server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > rpc.MaxBody {
		w.Header().Set("Connection", "close")
		return nil, errTooLarge()
	}
	done := limitBodyTime(w, s.bodyTime)
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, rpc.MaxBody))
	done()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, &httpError{http.StatusRequestTimeout, "request_timeout", "the request body did not arrive within " + s.bodyTime.String()}
	case err != nil:
		return nil, ci.Errorf(ci.CodeInvalid, "the request body ended too early: %w", err)
	case len(data) == 0:
		return nil, nil
	}
	return data, checkType(r)
}

func errTooLarge() error {
	return ci.Errorf(ci.CodeTooLarge, "the request body is larger than the %s that are allowed", ci.Bytes(rpc.MaxBody))
}

func checkType(r *http.Request) error {
	unsupported := func(detail string) error {
		return &httpError{http.StatusUnsupportedMediaType, "unsupported_media_type", detail}
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return unsupported("the request body has a Content-Encoding; send it as it is")
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return unsupported("the request body must be JSON: send the header Content-Type: application/json")
	}
	if c, ok := params["charset"]; ok && !strings.EqualFold(c, "utf-8") {
		return unsupported("the request body must be UTF-8")
	}
	return nil
}

// limitBodyTime begins the time in which a body must arrive. done ends it;
// else a deadline left behind would cut off an answer that is held.
func limitBodyTime(w http.ResponseWriter, limit time.Duration) (done func()) {
	rc := http.NewResponseController(w)
	if rc.SetReadDeadline(time.Now().Add(limit)) != nil {
		return func() {} // a writer without deadlines, as in tests
	}
	return func() { _ = rc.SetReadDeadline(time.Time{}) } // it worked a moment ago
}

// timedBody calls done at the body's end.
type timedBody struct {
	io.ReadCloser
	done func()
}

// Read reads on.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.done()
	}
	return n, err
}

// pacedBody gives each read of a body its own time: a stream may be as long
// as it likes, but not silent.
type pacedBody struct {
	io.ReadCloser
	w     http.ResponseWriter
	limit time.Duration
}

// Read reads on.
func (b *pacedBody) Read(p []byte) (int, error) {
	done := limitBodyTime(b.w, b.limit)
	defer done()
	return b.ReadCloser.Read(p)
}
