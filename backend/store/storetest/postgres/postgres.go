// Package postgres starts a real Postgres server for tests, from the programs
// that are installed on the machine, and throws it away afterwards.
package postgres

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Env names the variable with the URL of a server to use instead, whose user
// may create databases.
const Env = "CI_TEST_POSTGRES"

// Server is a running server.
type Server struct {
	url   url.URL
	count atomic.Int64
	// Of a server of our own: where it is, and what ends it.
	bin, dir, data string
	user           account
	end            func(signal string)
}

// Start starts a server that ends with the test. Where the programs are
// missing the test fails and says what to install: it is never skipped.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartOn(t, "")
}

// StartOn starts a server whose data are in a folder of the test's, empty as yet,
// and else does as Start. An empty name means a temporary folder.
func StartOn(t testing.TB, data string) *Server {
	t.Helper()
	if given := os.Getenv(Env); given != "" {
		u, err := url.Parse(given)
		require.NoError(t, err, "%s has to be a URL like postgres://user:password@host/postgres", Env)
		return &Server{url: *u}
	}
	bin := programs(t)
	user := unprivileged(t)
	dir := folder(t, user)
	if data == "" {
		data = filepath.Join(dir, "data")
	} else if user.uid != 0 {
		require.NoError(t, os.Chown(data, int(user.uid), int(user.gid)))
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	user.become(initdb, dir)
	out, err := initdb.CombinedOutput()
	require.NoError(t, err, "initdb: %s", out)
	s := &Server{url: url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}}
	s.bin, s.dir, s.data, s.user = bin, dir, data, user
	s.run(t)
	t.Cleanup(func() { s.end("INT") })
	s.wait(t, dir)
	return s
}

// Restart ends the server and starts it again. With crash it ends at once,
// without a word to anybody, and has to recover; else it ends all connections
// and writes what it has. Not for a server that Env names.
func (s *Server) Restart(t testing.TB, crash bool) {
	t.Helper()
	require.NotNil(t, s.end, "%s names a server that is not ours to restart", Env)
	if crash {
		s.end("QUIT")
	} else {
		s.end("INT")
	}
	s.run(t)
	s.wait(t, s.dir)
}

// Freeze stops all of the server's processes where they are, until Thaw: nothing
// is answered, and no connection ends. Not for a server that Env names.
func (s *Server) Freeze(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Thaw is the end of Freeze.
func (s *Server) Thaw(t testing.TB) { s.signal(t, syscall.SIGCONT) }

// signal sends a signal to the server's first process, which starts no others
// once it has stopped, and then to those that it has.
func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	require.NotNil(t, s.end, "%s names a server that is not ours to stop", Env)
	text, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, sig))
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	require.NoError(t, err)
	for child := range strings.FieldsSeq(string(children)) {
		pid, err := strconv.Atoi(child)
		require.NoError(t, err)
		if err := syscall.Kill(pid, sig); err != nil {
			require.ErrorIs(t, err, syscall.ESRCH) // it has just ended
		}
	}
}

// Socket is the path at which the server listens.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// run starts the server under a small shell that reads our pipe: whatever line
// comes names a signal for it, and however this process ends, the pipe closes
// and the server is stopped.
func (s *Server) run(t testing.TB) {
	t.Helper()
	const untilClosed = `"$@" & pid=$!; read -r signal; kill -${signal:-INT} $pid; wait $pid`
	cmd := exec.Command("/bin/sh", "-c", untilClosed, "sh", filepath.Join(s.bin, "postgres"), "-D", s.data, "-k", s.dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=300", "-c", "shared_buffers=64MB")
	s.user.become(cmd, s.dir)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	s.end = func(signal string) {
		_, _ = fmt.Fprintln(stdin, signal)
		_ = stdin.Close()
		_ = cmd.Wait()
		_ = log.Close()
	}
}

// wait returns once the server answers.
func (s *Server) wait(t testing.TB, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.url.String())
		if err == nil {
			require.NoError(t, conn.Close(ctx))
			return
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			require.NoError(t, err, "postgres does not answer: %s", log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Database creates an empty database, drops it after the test, and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), s.count.Add(1))
	s.Exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.Exec(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	u := s.url
	u.Path = "/" + name
	return u.String()
}

// Copy writes a backup of a database, as people do, and restores it into another one, which is empty.
func (s *Server) Copy(t testing.TB, from, to string) {
	t.Helper()
	bin := s.bin
	if bin == "" {
		bin = programs(t)
	}
	file := filepath.Join(t.TempDir(), "dump")
	for _, args := range [][]string{{"pg_dump", "-Fc", "-f", file, "-d", from}, {"pg_restore", "--exit-on-error", "-d", to, file}} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(bin, args[0]), args[1:]...).CombinedOutput()
		require.NoError(t, err, "%v: %s", args[0], out)
	}
}

// Exec runs one statement as the server's administrator.
func (s *Server) Exec(t testing.TB, text string) {
	t.Helper()
	require.NoError(t, s.Try(context.WithoutCancel(t.Context()), text), text) // it is used in clean-up, too
}

// Try runs one statement as Exec does, and returns what the server says of it.
func (s *Server) Try(ctx context.Context, text string) error {
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, text)
	return err
}
