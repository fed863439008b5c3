package source_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/source"
	"ci/pkg/ci"
	"ci/pkg/sshkey/sshdtest"
)

func TestScanHost(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, "127.0.0.1")
	host := fmt.Sprintf("127.0.0.1:%d", server.Port)
	found, err := planner(t, nil, host).ScanHost(t.Context(), host)
	require.NoError(t, err)
	require.Equal(t, server.Keys, found, "its keys of both types")
}

func TestScanHostRefuses(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nhunter2\r\n")
			_ = conn.Close()
		}
	}()
	s := planner(t, func(c *source.Config) {
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
		}
	}, silent.Addr().String(), "127.0.0.1:1")
	for host, c := range map[string]struct {
		code ci.Code
		says string
	}{
		"127.0.0.1":            {ci.CodeInvalid, "private network or of the server itself"},
		"127.0.0.1:2375":       {ci.CodeInvalid, "--git-allow 127.0.0.1:2375"},
		"[::1]:22":             {ci.CodeInvalid, "private network"},
		"169.254.169.254":      {ci.CodeInvalid, "private network"},
		"2130706433":           {ci.CodeInvalid, "private network"},
		"localhost":            {ci.CodeInvalid, "is the server itself"},
		"inside.example.com":   {ci.CodeInvalid, "is at 10.0.0.1"},
		"":                     {ci.CodeInvalid, "is not a host"},
		"-oProxyCommand=id":    {ci.CodeInvalid, "is not a host"},
		"host:port":            {ci.CodeInvalid, "a port that is not between"},
		"https://host/x":       {ci.CodeInvalid, "host"},
		silent.Addr().String(): {ci.CodeUnavailable, "no SSH server answers there"},
		"127.0.0.1:1":          {ci.CodeUnavailable, "connection refused"},
	} {
		_, err := s.ScanHost(t.Context(), host)
		require.ErrorContains(t, err, c.says, host)
		require.NotContains(t, err.Error(), "hunter2")
		require.Equal(t, c.code, ci.CodeOf(err), host)
	}
}
