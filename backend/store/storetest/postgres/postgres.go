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
	"sync/atomic"
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
}

// Start starts a server that ends with the test. Where the programs are
// missing the test fails and says what to install: it is never skipped.
func Start(t testing.TB) *Server {
	t.Helper()
	if given := os.Getenv(Env); given != "" {
		u, err := url.Parse(given)
		require.NoError(t, err, "%s has to be a URL like postgres://user:password@host/postgres", Env)
		return &Server{url: *u}
	}
	bin := programs(t)
	user := unprivileged(t)
	dir := folder(t, user)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	user.become(initdb, dir)
	out, err := initdb.CombinedOutput()
	require.NoError(t, err, "initdb: %s", out)
	s := &Server{url: url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}}
	run(t, bin, dir, data, user)
	s.wait(t, dir)
	return s
}

// run starts the server under a small shell that holds the reading end of our
// pipe: however this process ends, the pipe closes and the server is stopped.
func run(t testing.TB, bin, dir, data string, user account) {
	t.Helper()
	const untilClosed = `"$@" & pid=$!; read -r _; kill -INT $pid; wait $pid`
	cmd := exec.Command("/bin/sh", "-c", untilClosed, "sh", filepath.Join(bin, "postgres"), "-D", data, "-k", dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=300", "-c", "shared_buffers=64MB")
	user.become(cmd, dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
		_ = log.Close()
	})
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

// Exec runs one statement as the server's administrator.
func (s *Server) Exec(t testing.TB, text string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // it is used in clean-up, too
	conn, err := pgx.Connect(ctx, s.url.String())
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, text)
	require.NoError(t, err, text)
}
