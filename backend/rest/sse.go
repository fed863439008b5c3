package rest

import (
	"net/http"
	"strconv"
	"strings"
)

// sse writes server-sent events (WHATWG HTML, 9.2).
type sse struct{ out *stream }

// newSSE sends the headers, so that the reader knows at once that it is connected.
func (s *server) newSSE(w *recorder, r *http.Request) (*sse, error) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	e := &sse{s.newStream(w)}
	if r.Method == http.MethodHead {
		return e, errGone
	}
	return e, e.ping()
}

// ping sends a comment, which readers ignore and proxies see.
func (e *sse) ping() error { return e.send(": \n\n") }

// event sends one event; name "" is the usual kind. Every way to end a line
// (LF, CRLF, CR) begins a new data line, so no text can make fields of its own.
func (e *sse) event(name string, id int64, data string) error {
	var b strings.Builder
	b.Grow(len(data) + 64)
	b.WriteString("id: ")
	b.WriteString(strconv.FormatInt(id, 10))
	if name != "" {
		b.WriteString("\nevent: ")
		b.WriteString(name)
	}
	data = lineEnds.Replace(strings.ToValidUTF8(data, "\uFFFD"))
	for line := range strings.SplitSeq(data, "\n") {
		b.WriteString("\ndata: ")
		b.WriteString(line)
	}
	b.WriteString("\n\n")
	return e.send(b.String())
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func (e *sse) send(text string) error {
	if _, err := e.out.Write([]byte(text)); err != nil {
		return errGone
	}
	return nil
}
