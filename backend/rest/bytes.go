package rest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// content is something that is served byte for byte.
type content struct {
	size        int64
	contentType string
	// etag is "" for what may still change.
	etag string
	// final says that it never changes again.
	final bool
	// open reads the bytes from from to to.
	open func(from, to int64) (io.ReadCloser, error)
}

// serveContent answers with c, or the part of it that is asked for.
func (s *server) serveContent(w *recorder, r *http.Request, c content) error {
	h := w.Header()
	if c.etag != "" {
		h.Set("ETag", c.etag)
	}
	if c.final {
		keep(h)
	}
	if noneMatch(r, c.etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	part, err := spanOf(r, c.size, c.etag)
	if err != nil {
		var re *rangeError
		if errors.As(err, &re) {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", re.size))
		}
		return err
	}
	return s.servePart(w, r, c, part)
}

func (s *server) servePart(w *recorder, r *http.Request, c content, part span) error {
	var body io.ReadCloser
	if r.Method != http.MethodHead && part.from < part.to {
		// Opened before anything is answered, so that a failure is still a problem.
		var err error
		if body, err = c.open(part.from, part.to); err != nil {
			return err
		}
		defer func() { _ = body.Close() }() // it was only read
	}
	status := part.describe(w.Header())
	w.Header().Set("Content-Type", c.contentType)
	w.WriteHeader(status)
	if body == nil {
		return nil
	}
	n, rerr, werr := s.newStream(w).copyFrom(io.LimitReader(body, part.to-part.from))
	if rerr != nil {
		return fmt.Errorf("reading what is to be served: %w", rerr)
	}
	if werr == nil && n < part.to-part.from {
		return fmt.Errorf("only %d of %d bytes are there", n, part.to-part.from)
	}
	return nil // a reader that is gone needs no error
}
