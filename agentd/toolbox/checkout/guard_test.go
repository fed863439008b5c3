package checkout

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	asked := 0
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++; _, _ = io.WriteString(w, "served") })
	own, other := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer own.Close()
	defer other.Close()
	g, err := newGuard(own.URL + "/x.git")
	require.NoError(t, err)
	defer g.close()
	public := netip.MustParseAddr("1.2.3.4") // as a machine in a cloud may have
	g.machine = func(a netip.Addr) (bool, error) { return a == public, nil }
	g.resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "rebinding.example" { // one of both is enough
			return []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("127.0.0.1")}, nil
		}
		if host == "machine.example" {
			return []netip.Addr{public}, nil
		}
		return lookup(context.Background(), host)
	}
	proxy, err := url.Parse(strings.TrimPrefix(g.settings()[3], "http.proxy="))
	require.NoError(t, err)
	get := func(proxy *url.URL, address string) (int, string) {
		transport := other.Client().Transport.(*http.Transport).Clone()
		transport.Proxy = http.ProxyURL(proxy)
		defer transport.CloseIdleConnections()
		r, err := (&http.Client{Transport: transport}).Get(address)
		if err != nil {
			return 0, err.Error()
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		return r.StatusCode, string(b)
	}
	status, body := get(proxy, own.URL+"/sub.git")
	require.Equal(t, 200, status, body)
	require.Equal(t, "served", body)
	require.Equal(t, 1, asked)
	_, port, _ := strings.Cut(strings.TrimPrefix(other.URL, "https://"), ":")
	for _, address := range []string{
		other.URL, "http://127.0.0.1:" + port, "http://localhost:" + port, "https://localhost:" + port, "http://[::1]:" + port, "http://[::ffff:127.0.0.1]:" + port,
		"http://10.0.0.1", "http://169.254.169.254/latest", "http://0.0.0.0:" + port, "https://rebinding.example:" + port,
		"http://machine.example:" + port, "https://machine.example:" + port,
	} {
		status, body := get(proxy, address)
		require.True(t, status == 403 || status == 0 && strings.Contains(body, "Forbidden"), "%s: %d %s", address, status, body)
	}
	stranger := *proxy
	stranger.User = url.UserPassword("git", "guessed")
	status, _ = get(&stranger, own.URL)
	require.Equal(t, 407, status)
	require.Equal(t, 1, asked)
}
