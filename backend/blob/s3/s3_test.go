//go:build unix

package s3

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/blob"
	"ci/backend/blob/blobtest"
	"ci/backend/blob/blobtest/s3server"
	"ci/pkg/ci"
)

func config(srv *s3server.Server, bucket, prefix string) Config {
	return Config{
		Bucket: bucket, Prefix: prefix, Endpoint: srv.Endpoint, Region: s3server.Region, Insecure: true,
		AccessKey: s3server.AccessKey, SecretKey: s3server.SecretKey,
	}
}

func open(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, err := New(cfg)
	require.NoError(t, err)
	return s
}

func TestSuite(t *testing.T) {
	srv := s3server.Start(t)
	srv.Bucket(t, "ci-test")
	var n atomic.Int64
	blobtest.Run(t, func(t *testing.T) blob.Store {
		return open(t, config(srv, "ci-test", strings.Repeat("p", int(n.Add(1)))+"/deep"))
	})
	require.Empty(t, srv.Uploads(t, "ci-test"), "uploads that failed are dropped")
}

func TestPrefixesKeepApart(t *testing.T) {
	t.Parallel()
	srv := s3server.Start(t)
	srv.Bucket(t, "ci-test")
	a, b, all := open(t, config(srv, "ci-test", "a")), open(t, config(srv, "ci-test", "ab")), open(t, config(srv, "ci-test", ""))
	for _, s := range []*Store{a, b, all} {
		_, err := s.Put(t.Context(), "runs/1/x", strings.NewReader("x"))
		require.NoError(t, err)
	}
	require.NoError(t, a.DeletePrefix(t.Context(), "runs/1/"))
	require.Equal(t, []string{"ab/runs/1/x", "runs/1/x"}, srv.Keys(t, "ci-test"))
}

// TestDeleteThousands has more objects than one request removes.
func TestDeleteThousands(t *testing.T) {
	t.Parallel()
	srv := s3server.Start(t)
	srv.Bucket(t, "ci-test")
	s := open(t, config(srv, "ci-test", "p"))
	jobs := make(chan int)
	failed := make(chan error, 8)
	for range 8 {
		go func() {
			var err error
			for i := range jobs {
				_, e := s.Put(t.Context(), "runs/1/"+strings.Repeat("x", 1+i%50)+"/"+string(rune('a'+i/50)), strings.NewReader("x"))
				err = errors.Join(err, e)
			}
			failed <- err
		}()
	}
	for i := range 1300 {
		jobs <- i
	}
	close(jobs)
	for range 8 {
		require.NoError(t, <-failed)
	}
	require.NoError(t, s.DeletePrefix(t.Context(), "runs/1/"))
	require.Empty(t, srv.Keys(t, "ci-test"))
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	srv := s3server.Start(t)
	srv.Bucket(t, "ci-test")
	good := config(srv, "ci-test", "")
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"no bucket":               {func(c *Config) { c.Bucket = "nope" }, "there is no bucket nope"},
		"wrong secret":            {func(c *Config) { c.SecretKey = "wrong-secret" }, "refuses our credentials"},
		"unknown key":             {func(c *Config) { c.AccessKey = "nobody" }, "access key ID"},
		"wrong region":            {func(c *Config) { c.Region = "eu-nowhere-1" }, "is in another region than \"eu-nowhere-1\""},
		"nobody there":            {func(c *Config) { c.Endpoint = "127.0.0.1:1" }, "is it up and reachable"},
		"HTTPS to an HTTP server": {func(c *Config) { c.Insecure = false }, "does not answer as it should"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			c.change(&cfg)
			s := open(t, cfg)
			err := s.Check(t.Context())
			require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, c.says)
			_, err = s.Get(t.Context(), "x", 0, -1)
			require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
			require.NotContains(t, err.Error(), "wrong-secret")
		})
	}
}

// TestTLS wants a server whose certificate nobody has vouched for to be refused.
func TestTLS(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s := open(t, Config{Bucket: "ci-test", Endpoint: srv.Listener.Addr().String(), Region: "x", AccessKey: "a", SecretKey: "bbbbbbbb"})
	_, err := s.Put(t.Context(), "k", strings.NewReader("x"))
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "certificate")
	require.Zero(t, asked.Load())
}

// TestCutConnection puts a proxy before the server that cuts every connection
// after some bytes.
func TestCutConnection(t *testing.T) {
	t.Parallel()
	srv := s3server.Start(t)
	srv.Bucket(t, "ci-test")
	direct := open(t, config(srv, "ci-test", ""))
	_, err := direct.Put(t.Context(), "k", strings.NewReader("old"))
	require.NoError(t, err)
	_, err = direct.Put(t.Context(), "large", strings.NewReader(strings.Repeat("x", 8<<20)))
	require.NoError(t, err)

	cfg := config(srv, "ci-test", "")
	cfg.Endpoint = cuttingProxy(t, srv.Endpoint, 2<<20)
	s := open(t, cfg)
	_, err = s.Put(t.Context(), "k", strings.NewReader(strings.Repeat("n", 12<<20)))
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	r, err := s.Get(t.Context(), "large", 0, -1)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, r)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "a body that was cut must not look whole: %d bytes, %v", n, err)
	require.NoError(t, r.Close())

	r, err = direct.Get(t.Context(), "k", 0, -1)
	require.NoError(t, err)
	require.NoError(t, iotest.TestReader(r, []byte("old")))
	require.NoError(t, r.Close())
}

func cuttingProxy(t *testing.T, to string, after int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			cut := func() { _, _ = in.Close(), out.Close() }
			context.AfterFunc(ctx, cut)
			go func() { defer cut(); _, _ = io.CopyN(out, in, after) }()
			go func() { defer cut(); _, _ = io.CopyN(in, out, after) }()
		}
	}()
	return l.Addr().String()
}

func TestServerThatHangs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(release) })
	cfg := Config{Bucket: "ci-test", Endpoint: strings.TrimPrefix(srv.URL, "http://"), Region: "x", Insecure: true, AccessKey: "a", SecretKey: "bbbbbbbb"}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := open(t, cfg).Put(ctx, "k", strings.NewReader("x"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
