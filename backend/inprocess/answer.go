package inprocess

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// answer is the handler's side of an exchange, a http.ResponseWriter.
type answer struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	sent   chan struct{} // closed: status, fixed and fault are as they will stay
	status int
	fixed  http.Header
	fault  error // instead of an answer
}

var errBrokeOff = errors.New("the answer broke off")

// serve ends the answer as the handler ends: half of one does not look like all of it.
func (a *answer) serve(h http.Handler, r *http.Request) {
	defer func() {
		_ = r.Body.Close()    // whatever the handler has left of it
		if recover() != nil { // as net/http does; the API logs its own panics before
			a.fail(errBrokeOff)
			return
		}
		if err := context.Cause(r.Context()); err != nil {
			a.fail(err) // it ended because its time was over
			return
		}
		a.WriteHeader(http.StatusOK)
		_ = a.body.Close() // a pipe closes
	}()
	h.ServeHTTP(a, r)
}

// fail is the end of an answer that is not whole.
func (a *answer) fail(err error) {
	a.once.Do(func() { a.fault = err; close(a.sent) })
	_ = a.body.CloseWithError(err) // a pipe closes
}

// Header is what WriteHeader will send.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader sends status and headers, once.
func (a *answer) WriteHeader(status int) {
	if status < http.StatusOK {
		return
	}
	a.once.Do(func() {
		a.status, a.fixed = status, a.header.Clone()
		close(a.sent)
	})
}

// Write waits until the reader has taken p.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// Flush has nothing to do beyond the headers: nothing is held back.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }

func (a *answer) response(r *http.Request, body io.ReadCloser) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.fixed, Body: body, ContentLength: length(a.fixed), Request: r,
	}
}
