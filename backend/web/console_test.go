package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/inprocess"
	"ci/pkg/ci"
)

// visitTo is a visit of somebody whose API is h.
func visitTo(t *testing.T, h http.HandlerFunc, address string) *visit {
	t.Helper()
	tr := inprocess.New(h)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	p, err := New(Config{API: h, Transport: tr, SessionKey: make([]byte, 32), Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	v, err := p.visit(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, address, nil), &session{Token: "a.b.c"})
	require.NoError(t, err)
	return v
}

// A search over a console that takes its time keeps nobody from its pages.
func TestSearchHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	searching, found := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	api := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("offset") {
			return // all was read
		}
		_, _ = io.WriteString(w, "one\n")
		if first.CompareAndSwap(false, true) {
			close(searching)
			<-found
		}
	}
	run := &ci.Run{ID: 7, Job: "unit"}
	search := visitTo(t, api, "/ui/jobs/unit/runs/7?q=one")
	done := make(chan *consolePage)
	go func() {
		c, err := search.console(run)
		if err != nil {
			c.Error = asError(err)
		}
		done <- c
	}()
	<-searching
	page := *search
	page.r = httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ui/jobs/unit/runs/7", nil)
	c, err := page.console(run)
	require.NoError(t, err)
	require.Contains(t, c.Rows, "one")
	close(found)
	c = <-done
	require.Nil(t, c.Error)
	require.Equal(t, 1, c.Hits.Count)
}

// The memory of indexes is bounded by what they take, however many consoles are looked at.
func TestIndexesAreBounded(t *testing.T) {
	t.Parallel()
	const lines = 20_000
	v := visitTo(t, func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		_, _ = io.WriteString(w, strings.Repeat("x\n", lines)[min(from, 2*lines):])
	}, "/ui/")
	v.logs.room = 4 << 10
	for id := range int64(20) {
		x, err := v.indexOf(t.Context(), &ci.Run{ID: id + 1, Job: "unit"})
		require.NoError(t, err)
		require.EqualValues(t, lines, x.Lines(), "one that was dropped is made anew")
		require.LessOrEqual(t, v.logs.held, v.logs.room)
	}
	require.Less(t, len(v.logs.at), 5)
	require.Positive(t, len(v.logs.at))
}
