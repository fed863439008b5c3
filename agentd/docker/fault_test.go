package docker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/agentd/toolbox/pipe"
)

// flaky is an engine whose n-th call fails: refused before it is carried out,
// or cut after it was.
type flaky struct {
	count atomic.Int64
	fail  atomic.Int64 // which call; 0 for none
	after atomic.Bool  // whether the engine still does it
	// before is called with each call, before the engine is.
	before atomic.Pointer[hook]
}

type hook struct{ call func(*http.Request) }

// readBody reads what a call brings, so that it can still be handed on.
func readBody(r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what is missing the engine misses too
	r.Body = io.NopCloser(bytes.NewReader(body))
}

func newFlaky(t *testing.T) (*flaky, string) {
	t.Helper()
	socket, ok := strings.CutPrefix(engine.DaemonHost(), "unix://")
	if !ok {
		t.Skip("the engine is not on a socket")
	}
	f := &flaky{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "docker"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.Header.Get("X-Fail") != "" {
			return errors.New("cut")
		}
		return nil
	}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusInternalServerError) }
	path := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before := f.before.Load(); before != nil {
			before.call(r)
		}
		if n := f.count.Add(1); n == f.fail.Load() {
			if !f.after.Load() {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			r.Header.Set("X-Fail", "yes")
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return f, "unix://" + path
}

// Whatever call to the engine fails, nothing of the run stays behind that the
// next sweep does not take, and the next run works.
func TestEveryCallMayFail(t *testing.T) {
	t.Parallel()
	f, host := newFlaky(t)
	r := newRepository(t)
	c := config("test-flaky")
	c.Host = host
	d, err := New(c)
	require.NoError(t, err)
	require.NoError(t, d.Open(t.Context()))
	live := func() error {
		b, err := d.Prepare(t.Context(), order("echo hello", from(r.url, r.shas[0], 1), inImage(busyBase)), &output{})
		if err != nil {
			return err
		}
		_, err = b.Run(t.Context(), func() {}, &output{})
		return errors.Join(err, b.Remove(t.Context()))
	}
	f.count.Store(0)
	require.NoError(t, live())
	calls := f.count.Load()
	t.Logf("a run takes %d calls", calls)
	failed := 0
	for n := int64(1); n <= calls; n++ {
		f.after.Store(n%2 == 0)
		f.count.Store(0)
		f.fail.Store(n)
		if err := live(); err != nil {
			failed++
		}
		f.fail.Store(0)
		left, err := d.Sweep(t.Context(), nil)
		require.NoError(t, err)
		require.Zero(t, left)
		for _, o := range objects(t, d) {
			_, ok := o.run()
			require.False(t, ok, "call %d: left behind: %s", n, o.name)
		}
	}
	require.NotZero(t, failed, "no failure had any consequence")
	require.NoError(t, live())
	require.NoError(t, d.Close(t.Context()))
	requireNothing(t, d)
}

// An agent may be told to end at any moment of its start: nothing of it stays.
func TestOpenMayBeGivenUp(t *testing.T) {
	t.Parallel()
	f, host := newFlaky(t)
	c := config("test-given-up")
	c.Host = host
	d, err := New(c)
	require.NoError(t, err)
	for n := int64(1); ; n++ {
		ctx, giveUp := context.WithCancel(t.Context())
		var made atomic.Int64
		f.before.Store(&hook{func(r *http.Request) {
			if r.Method == http.MethodPost && made.Add(1) == n {
				giveUp()
			}
		}})
		err := d.Open(ctx)
		giveUp()
		f.before.Store(nil)
		require.NoError(t, d.Close(t.Context()))
		requireNothing(t, d)
		if err == nil {
			require.Greater(t, n, int64(5), "Open makes more than that")
			return
		}
		require.ErrorIs(t, err, context.Canceled)
	}
}

// What a killed agent had asked the engine for may come after the sweep at the
// start of its next life. The end of that life takes it along.
func TestCloseTakesWhatCameLate(t *testing.T) {
	t.Parallel()
	d := opened(t, config("test-late"))
	earlier := config("test-late")
	e, err := New(earlier)
	require.NoError(t, err)
	s := &shared{}
	require.NoError(t, e.toolboxImage(t.Context(), s))
	require.NoError(t, e.makeToolboxVolume(t.Context(), s))
	require.NoError(t, e.create(t.Context(), e.name("sandbox"), program(s.toolbox, "pause", e.labels("sandbox")), confined(sandboxLimits, volumeAt(s.volume, pipe.Folder, true))))
	require.NoError(t, d.Close(t.Context()))
	requireNothing(t, d)
}

// A run may be given up at any moment of its preparation.
func TestPrepareMayBeGivenUp(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	for i := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*60*time.Millisecond)
		o := order("true", from(r.url, r.shas[0], 1), inImage(busyBase))
		b, err := common.Prepare(ctx, o, &output{})
		if err == nil {
			require.NoError(t, b.Remove(ctx))
		}
		cancel()
		for _, left := range objects(t, common) {
			run, ok := left.run()
			require.False(t, ok && run == o.Run, "after %d: left behind: %s", i, left.name)
		}
	}
}

// Runs leave no goroutine behind. Not parallel: it counts those of the whole process.
func TestNoGoroutineStays(t *testing.T) {
	once := func() {
		b, err := common.Prepare(t.Context(), order("echo x"), &output{})
		require.NoError(t, err)
		_, err = b.Run(t.Context(), func() {}, &output{})
		require.NoError(t, err)
		require.NoError(t, b.Signal(runner.Kill))
		require.NoError(t, b.Remove(t.Context()))
	}
	once()
	settled := runtime.NumGoroutine()
	for range 5 {
		once()
	}
	eventually(t, func() bool { return runtime.NumGoroutine() <= settled+2 }, "goroutines end")
}
