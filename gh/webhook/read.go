package webhook

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"ci/pkg/ci"
)

// Who sends a body is not known before all of it is here, so nobody may take
// long: neither with one body, nor by many.
const (
	// readGrace is how long a body may take in any case, and readRate, in bytes a
	// second, how fast it has to come beyond that; readLimit is the end of patience.
	readGrace = 5 * time.Second
	readRate  = 256 << 10
	readLimit = 30 * time.Second
	// smallBody is the length up to which a body waits for no large one: nearly all are smaller.
	smallBody = 1 << 20
	// maxSmall and maxLarge are how many bodies may be read at the same time: they are held in memory.
	maxSmall, maxLarge = 256, 16
	// roomLimit is how long a delivery waits for others to be read. GitHub itself waits for ten seconds.
	roomLimit = 8 * time.Second
)

// rooms are where bodies are read: small ones, and those that are large or don't say.
type rooms struct{ small, large chan struct{} }

func newRooms() rooms {
	return rooms{make(chan struct{}, maxSmall), make(chan struct{}, maxLarge)}
}

func (r rooms) of(length int64) chan struct{} {
	if length >= 0 && length <= smallBody {
		return r.small
	}
	return r.large
}

// read reads a body within its limits. Not more than a few are read at once.
func (i *Inbox) read(w http.ResponseWriter, r *http.Request) (body []byte, status int, says string) {
	if r.ContentLength > ci.MaxWebhook {
		return nil, http.StatusRequestEntityTooLarge, "the body is larger than 25 MiB"
	}
	room := i.rooms.of(r.ContentLength)
	wait := time.NewTimer(roomLimit)
	defer wait.Stop()
	select {
	case room <- struct{}{}:
		defer func() { <-room }()
	case <-wait.C:
		return nil, http.StatusServiceUnavailable, "too many deliveries come at once"
	case <-r.Context().Done():
		return nil, http.StatusServiceUnavailable, "too many deliveries come at once"
	}
	timed := &timely{control: http.NewResponseController(w), body: http.MaxBytesReader(w, r.Body, ci.MaxWebhook), began: time.Now()}
	body, err := io.ReadAll(timed)
	timed.end()
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, http.StatusRequestEntityTooLarge, "the body is larger than 25 MiB"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout, "the body came too slowly"
	case err != nil:
		return nil, http.StatusBadRequest, "the body did not arrive whole"
	}
	return body, 0, ""
}

// timely is a body that ends with an error when it comes too slowly. Not every
// server can do that; one that can't has limits of its own.
type timely struct {
	control *http.ResponseController
	body    io.Reader
	began   time.Time
	n       int64
}

func (t *timely) Read(p []byte) (int, error) {
	_ = t.control.SetReadDeadline(t.began.Add(patience(t.n)))
	n, err := t.body.Read(p)
	t.n += int64(n)
	return n, err
}

// end lets the connection live on: the server watches it for the caller's end.
func (t *timely) end() { _ = t.control.SetReadDeadline(time.Time{}) }

// patience is how long a body may have taken of which n bytes are here.
func patience(n int64) time.Duration {
	return min(readGrace+time.Duration(n)*time.Second/readRate, readLimit)
}
