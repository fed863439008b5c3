package relay_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	"github.com/stretchr/testify/require"

	"ci/agentd/toolbox/pipe"
	"ci/agentd/toolbox/relay"
)

// world is a container's side with one socket, and an agent's session.
type world struct {
	socket string
	server *relay.Server
	agent  *yamux.Session
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{socket: filepath.Join(t.TempDir(), "run", "x.sock")}
	var err error
	w.server, err = relay.Listen([]pipe.Listen{{Network: "unix", Address: w.socket}}, os.Getuid(), os.Getgid())
	require.NoError(t, err)
	here, there := net.Pipe()
	w.agent, err = pipe.Client(here)
	require.NoError(t, err)
	inside, err := pipe.Server(there)
	require.NoError(t, err)
	go func() {
		for {
			stream, err := inside.AcceptStream()
			if err != nil {
				return
			}
			w.server.Take(0, stream)
		}
	}()
	t.Cleanup(func() {
		w.server.Close()
		_ = w.agent.Close()
		_ = inside.Close()
		w.server.Wait()
	})
	return w
}

// offer opens an idle stream.
func (w *world) offer(t *testing.T) *yamux.Stream {
	t.Helper()
	stream, err := w.agent.OpenStream()
	require.NoError(t, err)
	return stream
}

func called(stream *yamux.Stream) error {
	var call pipe.Call
	return pipe.ReadFrame(stream, &call, pipe.MaxCall)
}

func (w *world) dial(t *testing.T) *net.UnixConn {
	t.Helper()
	conn, err := net.Dial("unix", w.socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UnixConn)
}

// A caller that has sent all can still read the answer.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stream := w.offer(t)
	conn := w.dial(t)
	_, err := io.WriteString(conn, "a question")
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	require.NoError(t, called(stream))
	asked, err := io.ReadAll(stream)
	require.NoError(t, err)
	require.Equal(t, "a question", string(asked))
	long := strings.Repeat("an answer ", 1<<18) // more than a window
	go func() {
		_, _ = io.WriteString(stream, long)
		_ = stream.Close()
	}()
	answered, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, long, string(answered))
}

// Each connection needs a stream of the agent's, in whatever order they come.
func TestManyCallers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const callers = 40
	var all sync.WaitGroup
	for i := range callers {
		conn := w.dial(t)
		all.Go(func() {
			_, _ = fmt.Fprintf(conn, "%d", i)
			_ = conn.CloseWrite()
			answer, _ := io.ReadAll(conn)
			if string(answer) != fmt.Sprint(i) {
				t.Errorf("caller %d got %q", i, answer)
			}
		})
	}
	for range callers {
		stream := w.offer(t)
		require.NoError(t, called(stream))
		all.Go(func() {
			_, _ = io.Copy(stream, stream)
			_ = stream.Close()
		})
	}
	all.Wait()
}

// A caller that leaves early holds nobody up: the agent can write on.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stream := w.offer(t)
	conn := w.dial(t)
	require.NoError(t, called(stream))
	require.NoError(t, conn.Close())
	_, err := stream.Write(make([]byte, 8<<20))
	require.NoError(t, err)
	_, err = stream.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
}

// The end reaches callers that are served and those that wait.
func TestClose(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stream := w.offer(t)
	served := w.dial(t)
	require.NoError(t, called(stream))
	waiting := w.dial(t)
	w.server.Close()
	w.server.Close()
	for _, conn := range []net.Conn{served, waiting} {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, err := conn.Read(make([]byte, 1))
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	_, err := stream.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	_, err = net.Dial("unix", w.socket)
	require.Error(t, err)
}

func TestListen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := filepath.Join(dir, "deep", "x.sock")
	require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
	require.NoError(t, os.WriteFile(at, []byte("the image's"), 0o644))
	s, err := relay.Listen([]pipe.Listen{{Network: "unix", Address: at}, {Network: "tcp", Address: "127.0.0.1:0"}}, os.Getuid(), os.Getgid())
	require.NoError(t, err)
	info, err := os.Stat(at)
	require.NoError(t, err)
	require.Equal(t, os.ModeSocket|0o600, info.Mode())
	s.Close()
	s.Wait()

	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	_, err = relay.Listen([]pipe.Listen{{Network: "unix", Address: at}, {Network: "unix", Address: filepath.Join(dir, "file", "x")}}, os.Getuid(), os.Getgid())
	require.ErrorContains(t, err, "nothing can listen at")
	_, err = os.Stat(at)
	require.ErrorIs(t, err, os.ErrNotExist, "the first is closed again")
}
