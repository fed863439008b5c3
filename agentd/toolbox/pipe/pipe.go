// Package pipe is the one connection between an agent and the init of a run's
// container: the attached standard streams of PID 1, cut into several by yamux
// (its specification: github.com/hashicorp/yamux/blob/master/spec.md).
//
// The agent is the yamux client and opens every stream. The first frame of
// each says what it is for (Opening). Messages are JSON behind four bytes of
// length, console bytes and results are raw or in pieces. Neither side trusts
// the other with memory: every frame has a limit, every stream a window.
package pipe

import (
	"io"
	"os"
	"time"

	"github.com/hashicorp/yamux"
)

// Version is what both sides must agree on. It changes with any word here.
const Version = 2

// Window is how many bytes of one stream may be under way.
const Window = 1 << 20

// Limits of one message in bytes: down to init, and up from a container.
const (
	MaxDown = 16 << 20
	MaxUp   = 64 << 10
)

// Patience is how long a write may wait for the other side before the
// connection counts as broken. It outlasts an agent that is frozen for minutes.
const Patience = 10 * time.Minute

// Client begins the agent's side over an attached container.
func Client(conn io.ReadWriteCloser) (*yamux.Session, error) {
	// A container opens no streams: those it does wait unaccepted, one at most.
	return yamux.Client(conn, config(1))
}

// Server begins init's side over its standard streams.
func Server(conn io.ReadWriteCloser) (*yamux.Session, error) {
	return yamux.Server(conn, config(16))
}

func config(backlog int) *yamux.Config {
	c := yamux.DefaultConfig()
	c.AcceptBacklog = backlog
	c.EnableKeepAlive = false // the engine tells when a container ends
	c.ConnectionWriteTimeout = Patience
	c.StreamOpenTimeout = 0 // streams are opened before init has begun
	c.StreamCloseTimeout = Patience
	c.MaxStreamWindowSize = Window
	c.LogOutput = io.Discard
	return c
}

// Stdio is a container's side of the attached connection.
type Stdio struct{}

// Read reads standard input.
func (Stdio) Read(b []byte) (int, error) { return os.Stdin.Read(b) }

// Write writes standard output.
func (Stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }

// Close lets go of standard input.
func (Stdio) Close() error { return os.Stdin.Close() }
