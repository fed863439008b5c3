package webhook

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// reader serves the reading of bodies alone.
func reader(t *testing.T) *httptest.Server {
	t.Helper()
	i := New(Config{Log: slog.New(slog.DiscardHandler)})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, status, says := i.read(w, r)
		if status != 0 {
			http.Error(w, says, status)
			return
		}
		_, _ = io.WriteString(w, strconv.Itoa(len(body)))
	}))
	t.Cleanup(s.Close)
	return s
}

// begin sends the head of a request and nothing of its body.
func begin(t *testing.T, s *httptest.Server, length int) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "+strconv.Itoa(length)+"\r\n\r\n")
	require.NoError(t, err)
	return conn
}

// Whoever begins many large bodies keeps no small one waiting, and not the next large one for long.
func TestSlowBodiesHoldNobodyUp(t *testing.T) {
	t.Parallel()
	s := reader(t)
	var slow []net.Conn
	for range maxLarge {
		slow = append(slow, begin(t, s, ci.MaxWebhook))
	}
	began := time.Now()
	resp, err := http.Post(s.URL, "", strings.NewReader("small"))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Less(t, time.Since(began), readGrace, "no large body is waited for")

	resp, err = http.Post(s.URL, "", strings.NewReader(strings.Repeat("x", smallBody+1)))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode, "those that were too slow have been sent away")
	for _, conn := range slow {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		head := make([]byte, len("HTTP/1.1 408"))
		_, err := io.ReadFull(conn, head)
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 408", string(head))
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	require.Equal(t, readGrace, patience(0))
	require.Equal(t, readGrace+time.Second, patience(readRate))
	require.Equal(t, readLimit, patience(ci.MaxWebhook))
}
