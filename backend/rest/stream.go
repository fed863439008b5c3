package rest

import (
	"io"
	"net/http"
	"time"
)

// stream writes to a reader who may be slow or gone. Every write has a
// deadline of its own: who takes no byte for that long is dropped, and nobody else notices.
type stream struct {
	w     *recorder
	rc    *http.ResponseController
	stall time.Duration
}

func (s *server) newStream(w *recorder) *stream {
	return &stream{w: w, rc: http.NewResponseController(w), stall: s.Stall}
}

// Write writes and pushes b out in pieces, each with the whole time.
func (s *stream) Write(b []byte) (int, error) {
	n, err := s.push(b)
	if err == nil {
		err = s.rc.Flush()
	}
	return n, err
}

// push writes without flushing.
func (s *stream) push(b []byte) (int, error) {
	const piece = 64 << 10
	written := 0
	for len(b) > 0 {
		_ = s.rc.SetWriteDeadline(time.Now().Add(s.stall)) // where there are deadlines
		n, err := s.w.Write(b[:min(piece, len(b))])
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
	}
	return written, nil
}

// copyFrom writes all of r and returns how many bytes that were, and the
// reader's and the writer's error apart: only the first is ours.
func (s *stream) copyFrom(r io.Reader) (n int64, rerr, werr error) {
	buf := make([]byte, 64<<10)
	for {
		k, err := r.Read(buf)
		if k > 0 {
			m, werr := s.push(buf[:k])
			n += int64(m)
			if werr != nil {
				return n, nil, werr
			}
		}
		if err == io.EOF {
			return n, nil, nil
		}
		if err != nil {
			return n, err, nil
		}
	}
}
