package docker

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
)

func relayed(network, address string, serve func(context.Context, net.Conn)) func(*runner.Order) {
	return func(o *runner.Order) {
		o.Relays = append(o.Relays, runner.Relay{Network: network, Address: address, Serve: func(ctx context.Context, conn net.Conn) {
			defer conn.Close()
			serve(ctx, conn)
		}})
	}
}

// shout answers with what it got, in capitals, once its caller has sent all.
func shout(_ context.Context, conn net.Conn) {
	asked, _ := io.ReadAll(io.LimitReader(conn, 1<<20))
	_, _ = conn.Write(bytes.ToUpper(asked))
}

func TestRelay(t *testing.T) {
	t.Parallel()
	t.Run("one question", func(t *testing.T) {
		t.Parallel()
		exit, output, _ := play(t, order("echo hello | nc 127.0.0.1 7070", inImage(busyBase), relayed("tcp", "127.0.0.1:7070", shout)))
		require.Equal(t, "HELLO\n", output)
		require.Zero(t, exit.Code)
	})
	t.Run("more callers than are served at once", func(t *testing.T) {
		t.Parallel()
		_, output, _ := play(t, order("for i in $(seq 1 40); do (echo line $i | nc 127.0.0.1 7071) & done; wait", inImage(busyBase), relayed("tcp", "127.0.0.1:7071", shout),
			func(o *runner.Order) { o.Spec.Resources.Pids = 512 })) // each caller is three processes
		require.Equal(t, 40, strings.Count(output, "LINE "), output)
	})
	t.Run("a socket is the user's alone", func(t *testing.T) {
		t.Parallel()
		serve := func(_ context.Context, conn net.Conn) {
			_, _ = bufio.NewReader(conn).ReadString('\n')
			_, _ = fmt.Fprint(conn, "HTTP/1.0 200 OK\r\n\r\nserved\n")
		}
		_, output, _ := play(t, order("stat -c '%a %U' /run/ci/x.sock; curl -s --unix-socket /run/ci/x.sock http://x/", asUser("nobody"), relayed("unix", "/run/ci/x.sock", serve)))
		require.Equal(t, "600 nobody\nserved\n", output)
	})
	t.Run("an image that has nothing", func(t *testing.T) {
		t.Parallel()
		exit, output, _ := play(t, order("[ -S /run/ci/x.sock ] && echo there", inImage(bare), relayed("unix", "/run/ci/x.sock", shout)))
		require.Equal(t, "there\n", output)
		require.Zero(t, exit.Code)
	})
	t.Run("a place that can't be", func(t *testing.T) {
		t.Parallel()
		var console output
		b := prepare(t, common, order("echo never", inImage(busyBase), relayed("unix", "/bin/busybox/x", shout)), &console)
		_, err := b.Run(t.Context(), func() { t.Error("began") }, &console)
		require.ErrorContains(t, err, "nothing can listen at /bin/busybox/x in the container")
	})
	t.Run("a panic is this connection's alone", func(t *testing.T) {
		t.Parallel()
		var n atomic.Int32
		serve := func(ctx context.Context, conn net.Conn) {
			if n.Add(1) == 1 {
				panic("the first")
			}
			shout(ctx, conn)
		}
		_, output, _ := play(t, order("echo one | nc 127.0.0.1 7072; echo two | nc 127.0.0.1 7072", inImage(busyBase), relayed("tcp", "127.0.0.1:7072", serve)))
		require.Equal(t, "TWO\n", output)
	})
}

// The script's end is the end of all connections, and Run returns after it.
func TestRelayEndsWithTheScript(t *testing.T) {
	t.Parallel()
	var open atomic.Int32
	serve := func(ctx context.Context, conn net.Conn) {
		open.Add(1)
		defer open.Add(-1)
		_, _ = io.WriteString(conn, "x\n")
		_, _ = io.Copy(io.Discard, conn)
		<-ctx.Done()
	}
	// Twenty callers hold on, in the background and beyond what is served.
	_, output, _ := play(t, order("for i in $(seq 1 20); do (sleep 1000 | nc 127.0.0.1 7073 > got$i) & done; until [ $(cat got* | wc -l) -ge 16 ]; do usleep 20000; done; echo held", inImage(busyBase), relayed("tcp", "127.0.0.1:7073", serve)))
	require.Equal(t, "held\n", output)
	require.Zero(t, open.Load())
}
