package web

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"ci/backend/web/logpage"
	"ci/pkg/ci"
)

const (
	// calm is how long changes are gathered, so that a busy system makes no busy browsers.
	calm = 500 * time.Millisecond
	// flushEvery is how often new output of a run is sent.
	flushEvery = 150 * time.Millisecond
	// pingEvery is how often an idle stream shows that it lives.
	pingEvery = 15 * time.Second
)

// events writes server-sent events (WHATWG HTML, 9.2). Their data are JSON, so that no text ends a line.
type events struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (v *visit) events() *events {
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	return &events{v.w, http.NewResponseController(v.w)}
}

// send sends one event; id "" leaves out that line.
func (e *events) send(name, id string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return e.write("event: " + name + "\n" + id + "data: " + string(text) + "\n\n")
}

func (e *events) ping() error { return e.write(": \n\n") }

func (e *events) write(text string) error {
	_ = e.rc.SetWriteDeadline(time.Now().Add(answerTime)) // where there are deadlines
	if _, err := io.WriteString(e.w, text); err != nil {
		return err
	}
	return e.rc.Flush()
}

// untilStop is a context for a stream: it ends with the request, and when the server stops.
func (v *visit) untilStop() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(v.r.Context())
	if v.Stop == nil {
		return ctx, cancel
	}
	go func() {
		select {
		case <-v.Stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// changes wakes its channel whenever a run changes that is wanted, from the event after on. It is closed when no more come.
func (v *visit) changes(ctx context.Context, after int64, wanted func(ci.Event) bool) <-chan struct{} {
	woken := make(chan struct{}, 1)
	go func() {
		defer close(woken)
		for e, err := range v.api.Events(ctx, after) {
			if err != nil {
				return
			}
			if !wanted(e) {
				continue
			}
			select {
			case woken <- struct{}{}:
			default: // a change that was not told yet is enough
			}
		}
	}()
	return woken
}

// live tells a page that something on it has changed; it fetches itself anew then,
// and when the stream has opened: all that happens after that is told.
func (v *visit) live() error {
	ctx, cancel := v.untilStop()
	defer cancel()
	job := v.r.URL.Query().Get("job")
	last, err := v.api.LastEvent(ctx)
	if err != nil {
		return err
	}
	woken := v.changes(ctx, last, func(e ci.Event) bool { return job == "" || e.Job == job })
	out := v.events()
	if out.ping() != nil {
		return nil // the reader is gone
	}
	pings := time.NewTicker(pingEvery)
	defer pings.Stop()
	for {
		var err error
		select {
		case _, ok := <-woken:
			if !ok {
				return nil
			}
			err = out.send("change", "", true)
			if err == nil {
				wait(ctx, calm)
			}
		case <-pings.C:
			err = out.ping()
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return nil // the reader is gone
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// liveRun sends a run's console from the beginning of ?page on, as rows of HTML,
// and says when the run has changed. A reader that was cut off goes on at the page that it had reached.
func (v *visit) liveRun() error {
	job, id, err := v.ref()
	if err != nil {
		return err
	}
	ctx, cancel := v.untilStop()
	defer cancel()
	run, err := v.api.GetRun(ctx, job, id)
	if err != nil {
		return err
	}
	last, err := v.api.LastEvent(ctx)
	if err != nil {
		return err
	}
	rows, offset, err := v.liveFrom(ctx, run)
	if err != nil {
		return err
	}
	body, err := v.api.Console(ctx, job, id, offset, true)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was only read
	out := v.events()
	if out.ping() == nil {
		v.follow(ctx, out, rows, pieces(ctx, body), v.changes(ctx, last, func(e ci.Event) bool { return e.Run == id }))
	}
	return nil
}

// liveFrom begins at the page that the reader has, as far as there is one.
func (v *visit) liveFrom(ctx context.Context, run *ci.Run) (*logpage.Live, int64, error) {
	asked := v.r.URL.Query().Get("page")
	if last := v.r.Header.Get("Last-Event-ID"); last != "" {
		asked = last
	}
	page, _ := parseInt(asked) // what is no number is the beginning
	index, err := v.indexOf(ctx, run)
	if err != nil {
		return nil, 0, err
	}
	at := int(min(max(page, 0), int64(index.Pages()-1)))
	return index.Live(at), index.Begin(at), nil
}

// pieces reads a stream until it ends; then the channel is closed.
func pieces(ctx context.Context, r io.Reader) <-chan []byte {
	out := make(chan []byte)
	go func() {
		defer close(out)
		for {
			buf := make([]byte, 32<<10)
			n, err := r.Read(buf)
			if n > 0 {
				select {
				case out <- buf[:n]:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

// follow sends what comes until the console ends, or its reader is gone.
func (v *visit) follow(ctx context.Context, out *events, rows *logpage.Live, in <-chan []byte, woken <-chan struct{}) {
	const full = 64 << 10
	flush, pings := time.NewTicker(flushEvery), time.NewTicker(pingEvery)
	defer flush.Stop()
	defer pings.Stop()
	send := func() error {
		html := rows.Take()
		if html == "" {
			return nil
		}
		return out.send("rows", strconv.Itoa(rows.Page()), html)
	}
	for {
		var err error
		select {
		case piece, ok := <-in:
			if !ok {
				if send() == nil && ctx.Err() == nil {
					_ = out.send("end", "", true) // whoever is gone needs no end
				}
				return
			}
			if rows.Feed(piece); rows.Buffered() > full {
				err = send()
			}
		case <-flush.C:
			err = send()
		case _, ok := <-woken:
			if !ok {
				woken = nil // the console goes on without it
				continue
			}
			err = out.send("change", "", true)
		case <-pings.C:
			err = out.ping()
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}
