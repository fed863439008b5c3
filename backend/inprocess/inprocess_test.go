package inprocess_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"ci/backend/inprocess"
)

func get(t *testing.T, ctx context.Context) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.invalid/x?y=1", nil)
	require.NoError(t, err)
	return r
}

func to(t *testing.T, h http.HandlerFunc) *inprocess.Transport {
	t.Helper()
	tr := inprocess.New(h)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr
}

// An answer that is over at once arrives all the same, each time.
func TestShortAnswers(t *testing.T) {
	t.Parallel()
	tr := to(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for range 2000 {
		resp, err := tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.Equal(t, "418 I'm a teapot", resp.Status)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Empty(t, body)
		require.NoError(t, resp.Body.Close())
	}
}

// The handler sees a stranger, or whom the caller speaks for.
func TestWhatTheHandlerSees(t *testing.T) {
	t.Parallel()
	tr := to(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2")
		w.Header().Set("X-Seen", strings.Join([]string{r.Host, r.RemoteAddr, r.RequestURI, r.Proto}, " "))
		_, _ = io.WriteString(w, "ok")
		w.Header().Set("X-Seen", "too late")
	})
	r := get(t, t.Context())
	for _, want := range []string{"api.invalid inside /x?y=1 HTTP/1.1", "ci.example.com 192.0.2.7:80 /x?y=1 HTTP/1.1"} {
		resp, err := tr.RoundTrip(r)
		require.NoError(t, err)
		require.Equal(t, want, resp.Header.Get("X-Seen"))
		require.EqualValues(t, 2, resp.ContentLength)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "ok", string(body))
		require.NoError(t, resp.Body.Close())
		r.Host, r.RemoteAddr = "ci.example.com", "192.0.2.7:80"
	}
}

// Bodies stream both ways: each side hears the other before either is done.
func TestStreams(t *testing.T) {
	t.Parallel()
	tr := to(t, func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, http.NewResponseController(w).Flush())
		buf := make([]byte, 1)
		for {
			n, err := r.Body.Read(buf)
			if err != nil {
				return
			}
			_, _ = w.Write(buf[:n])
		}
	})
	read, write := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://api.invalid/", read)
	require.NoError(t, err)
	resp, err := tr.RoundTrip(r)
	require.NoError(t, err)
	buf := make([]byte, 1)
	for _, c := range "echo" {
		_, err = write.Write([]byte(string(c)))
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, buf)
		require.NoError(t, err)
		require.Equal(t, string(c), string(buf))
	}
	require.NoError(t, write.Close())
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.NoError(t, resp.Body.Close())
	_, err = read.Read(buf)
	require.ErrorIs(t, err, io.ErrClosedPipe, "the request's body is closed, as a transport must")
}

// Whoever closes an answer, or gives up before there is one, ends its handler.
func TestHandlersEnd(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	endless := to(t, func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				<-r.Context().Done()
				ended <- err
				return
			}
		}
	})
	resp, err := endless.RoundTrip(get(t, t.Context()))
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 5000))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Error(t, <-ended)

	ctx, cancel := context.WithCancel(t.Context())
	silent := to(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		ended <- r.Context().Err()
	})
	_, err = silent.RoundTrip(get(t, ctx))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, <-ended, context.Canceled)
}

// Half an answer does not look like a whole one, whoever broke it off.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	half := to(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	})
	resp, err := half.RoundTrip(get(t, t.Context()))
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.ErrorContains(t, err, "broke off")

	none := to(t, func(http.ResponseWriter, *http.Request) { panic("a bug") })
	_, err = none.RoundTrip(get(t, t.Context()))
	require.ErrorContains(t, err, "broke off")

	ctx, cancel := context.WithCancel(t.Context())
	given := to(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		<-r.Context().Done()
	})
	resp, err = given.RoundTrip(get(t, ctx))
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 4))
	require.NoError(t, err)
	cancel()
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, context.Canceled)
}

// Close ends what is going on, waits for it, and lets nothing begin.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var left bool
		tr := inprocess.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "begun")
			<-r.Context().Done()
			_, err := io.WriteString(w, "nobody hears this")
			left = err != nil
		}))
		resp, err := tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, make([]byte, 5))
		require.NoError(t, err)
		require.NoError(t, tr.Close())
		require.True(t, left, "the handler has ended, and nothing held it up")
		_, err = io.ReadAll(resp.Body)
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = tr.RoundTrip(get(t, t.Context()))
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, tr.Close())
	})
}

// An ordinary client works with it.
func TestClient(t *testing.T) {
	t.Parallel()
	tr := to(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(w, r.Body)
		if err != nil && !errors.Is(err, io.EOF) {
			panic(err)
		}
	})
	resp, err := (&http.Client{Transport: tr}).Post("http://api.invalid/", "text/plain", strings.NewReader("hello"))
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(body))
	require.NoError(t, resp.Body.Close())
}
