package web

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"ci/backend/web/logpage"
	"ci/pkg/ci"
)

// indexRoom is how many bytes the indexes of consoles may take together.
const indexRoom = 32 << 20

// keptLog is where the pages of a console begin, so that one in the middle of a
// large console is found without reading all of it again. It is made anew from
// the console itself.
type keptLog struct {
	mu    sync.Mutex
	index *logpage.Index
}

// indexOf is the index of a run's console as it is now. Nobody but who reads on
// in that console waits for it, and the caller's stays as it is.
func (v *visit) indexOf(ctx context.Context, run *ci.Run) (*logpage.Index, error) {
	k := v.logs.getOrMake(run.ID, func() (*keptLog, int64) {
		x := logpage.NewIndex()
		return &keptLog{index: x}, x.Size()
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.grow(ctx, v, run); err != nil {
		return nil, err
	}
	v.logs.put(run.ID, k, k.index.Size())
	return k.index.Snapshot(), nil
}

// grow reads on where the index ends.
func (k *keptLog) grow(ctx context.Context, v *visit, run *ci.Run) error {
	body, err := v.api.Console(ctx, run.Job, run.ID, k.index.End(), false)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was only read
	return k.index.Scan(body)
}

// consolePage is a part of a console: a page of it, or what a search has found.
type consolePage struct {
	Rows  any // HTML
	Error *ci.Error
	// Page is the number of the page that is shown, of 0 to Last.
	Page, Last int
	Live       string // where the rest of it comes from; "" when there is none
	Hits       *logpage.Hits
	Base       string
}

// Expired says that the console is kept no longer.
func (c *consolePage) Expired() bool { return ci.CodeOf(c.Err()) == ci.CodeExpired }

// Err is why it can't be shown; nil when it can.
func (c *consolePage) Err() error {
	if c.Error == nil {
		return nil
	}
	return c.Error
}

// At is the address of a page.
func (c *consolePage) At(page int) string { return c.Base + "?page=" + strconv.Itoa(page) + "#console" }

// Older and Newer are the pages beside this one; false at the ends.
func (c *consolePage) Older() string {
	if c.Hits != nil || c.Page == 0 {
		return ""
	}
	return c.At(c.Page - 1)
}

// Newer is the address of the page behind, "" at the end.
func (c *consolePage) Newer() string {
	if c.Hits != nil || c.Page >= c.Last {
		return ""
	}
	return c.At(c.Page + 1)
}

// maxHits is how many rows a search shows.
const maxHits = 500

// console is what the page's address asks for: ?page, ?line or ?q; else the end.
func (v *visit) console(run *ci.Run) (*consolePage, error) {
	q := v.r.URL.Query()
	c := &consolePage{Base: runURL(run.Job, run.ID)}
	if query := strings.TrimSpace(q.Get("q")); query != "" {
		return c, v.search(c, run, query)
	}
	index, err := v.indexOf(v.r.Context(), run)
	if err != nil {
		return c, err
	}
	c.Last = index.Pages() - 1
	c.Page = pageAsked(q, index)
	if !run.Done() && c.Page == c.Last {
		c.Live = c.Base + "/live?page=" + strconv.Itoa(c.Page)
	}
	body, err := v.api.Console(v.r.Context(), run.Job, run.ID, index.Begin(c.Page), false)
	if err != nil {
		return c, err
	}
	defer func() { _ = body.Close() }() // it was only read
	c.Rows, err = index.Render(body, c.Page, "")
	return c, err
}

func pageAsked(q url.Values, x *logpage.Index) int {
	last := x.Pages() - 1
	if line, err := parseInt(q.Get("line")); err == nil {
		return x.PageOf(line)
	}
	if page, err := parseInt(q.Get("page")); err == nil {
		return int(min(max(page, 0), int64(last)))
	}
	return last
}

func (v *visit) search(c *consolePage, run *ci.Run, query string) error {
	body, err := v.api.Console(v.r.Context(), run.Job, run.ID, 0, false)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was only read
	hits, err := logpage.Search(body, query, maxHits, func(line int64) string { return c.Base + "?line=" + strconv.FormatInt(line, 10) })
	c.Hits, c.Rows = &hits, hits.Rows
	return err
}

// rawConsole sends the console as it is, as text.
func (v *visit) rawConsole() error {
	job, id, err := v.ref()
	if err != nil {
		return err
	}
	body, err := v.api.Console(v.r.Context(), job, id, 0, false)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was only read
	v.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	v.w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	v.w.WriteHeader(http.StatusOK)
	return v.copy(body)
}

// copy sends a stream. A reader has its time for each piece, not for all of them.
func (v *visit) copy(body io.Reader) error {
	rc := http.NewResponseController(v.w)
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		_ = rc.SetWriteDeadline(time.Now().Add(answerTime)) // where there are deadlines
		if _, werr := v.w.Write(buf[:n]); werr != nil {
			return nil // the reader is gone
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			v.Log.Warn("a stream broke off", "path", v.r.URL.Path, "err", err)
			panic(http.ErrAbortHandler) // half of it must not look like all
		}
	}
}
