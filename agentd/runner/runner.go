// Package runner carries out one run, from claim to clean-up, in the order a
// reader expects. It declares what it needs of the backend (Uplink) and of
// containers (Driver).
package runner

import (
	"context"
	"io"
	"net"

	"ci/pkg/ci"
)

// Uplink is what a run's execution tells the backend. Every call carries the
// claim; ci.CodeConflict means that the run is no longer ours and everything
// about it must stop.
type Uplink interface {
	// Started says that the script begins: it is recorded before the work order is sent.
	Started(ctx context.Context, c ci.Claim) error
	// Collecting says that the script has ended. exitCode is nil when it never did by itself.
	Collecting(ctx context.Context, c ci.Claim, exitCode *int) error
	// AppendConsole stores data at byte offset and returns the next offset.
	// Repeating a call is safe.
	AppendConsole(ctx context.Context, c ci.Claim, offset int64, data []byte) (next int64, err error)
	// PutResult stores one result and returns it with Size and SHA256.
	PutResult(ctx context.Context, c ci.Claim, r ci.Result, body io.Reader) (ci.Result, error)
	// Finish ends the run for good. Repeating a call is safe.
	Finish(ctx context.Context, c ci.Claim, e ci.End) error
}

// Driver makes containers. agentd/docker does it for real, agentd/fake plays a script.
type Driver interface {
	// Ready returns nil when the container engine answers, so that Open can
	// follow; else a sentence that says why not, with context.DeadlineExceeded
	// in its chain if the engine is perhaps only slow.
	Ready(ctx context.Context) error
	// Open makes what all runs share and sweeps what an earlier life of this
	// agent left behind. It is safe to repeat.
	Open(ctx context.Context) error
	// Warnings are sentences about what the engine can't enforce. Open finds them.
	Warnings() []string
	// FreeNetworks is how many more runs could get a network of their own now. It
	// does not ask the engine.
	FreeNetworks() int
	// Prepare makes all a run needs, up to a started container whose init
	// waits for its work. Progress goes to console, a line each. On error
	// nothing stays behind.
	Prepare(ctx context.Context, o Order, console io.Writer) (Box, error)
	// Sweep removes every object of this agent whose run is not in live and
	// returns how many it could not remove.
	Sweep(ctx context.Context, live []int64) (leftovers int, err error)
	// Close removes what Open made.
	Close(ctx context.Context) error
}

// Order describes one run to a Driver.
type Order struct {
	Run  int64
	Job  string
	Spec ci.Spec
	// Env is what the script finds in its environment beside the image's own, as "NAME=value".
	Env []string
	// Checkout is nil for freestyle runs.
	Checkout *Checkout
	// SSH is the key for the checkout; nil for none. The script reaches it only by one of Relays.
	SSH *ci.SSHAccess
	// HTTP opens the repository for the checkout; nil for none. The script gets nothing of it.
	HTTP *ci.HTTPAccess
	// Registries are the accounts for pulls.
	Registries []ci.RegistryAccess
	// Relays are what the script reaches of the agent.
	Relays []Relay
	// Tell is told what happens beside the console. It is never nil.
	Tell Teller
	// MaxResult (bytes, all results together) and MaxResultFiles cap what Collect packs.
	MaxResult      int64
	MaxResultFiles int
}

// Teller is told what a driver does for a run.
type Teller interface {
	// Step says that a part of the preparation begins; the function it returns
	// is called when it has ended, with a few words of what came of it.
	Step(name string) (end func(detail string))
	// Image says what an image turned out to be.
	Image(ci.RunImage)
	// Say writes a line of ours to the console, also while the script runs. It never waits.
	Say(line string)
	// ServiceLog takes what a service prints. It never fails and never waits
	// long. All of it is kept as one result of the run.
	ServiceLog(service string) io.Writer
}

// Relay is an address inside the run's container whose connections the agent
// serves. They come over the container's pipe, so that nothing is mounted and
// no port is open.
type Relay struct {
	// Network is "unix" or "tcp"; Address a path, or "127.0.0.1:port".
	Network string
	Address string
	// Serve handles one connection and closes it. ctx ends with the run.
	Serve func(ctx context.Context, conn net.Conn)
}

// Checkout names exactly one commit of one repository.
type Checkout struct {
	URL        string
	CommitSHA  string
	Depth      int // commits of history; 0 means all
	Submodules bool
	// Tree brings the files instead of a repository: it writes them as a tar
	// archive of files, folders and symbolic links. nil for runs of the backend.
	Tree func(ctx context.Context, w io.Writer) error
}

// Box is one run's container.
type Box interface {
	// Run sends the work order. started is called once the script's process
	// exists. Run returns when the script has ended and all of its output has been written to console.
	Run(ctx context.Context, started func(), console io.Writer) (Exit, error)
	// Signal reaches the script. It is safe at any time, also before and after Run.
	Signal(s Signal) error
	// Collect packs the results, after Run, and hands each to put. What
	// matched nothing, or can't be taken, comes back as Missing.
	Collect(ctx context.Context, specs []ci.ResultSpec, put func(ci.Result, io.Reader) error) ([]Missing, error)
	// Remove takes away the container and its volumes. It is called whatever
	// happened before, and is safe to repeat.
	Remove(ctx context.Context) error
}

// Signal is what an agent can do to a script.
type Signal string

// The signals.
const (
	Terminate Signal = "TERM" // to the script's process group
	Kill      Signal = "KILL" // to everything in the container but init
)

// Exit is how a script ended.
type Exit struct {
	// Code is the exit status, 128+n after signal n.
	Code int
	// Signal is the name of the signal that ended it, or "".
	Signal string
	// OOMKilled says that the memory limit killed a process of the run.
	OOMKilled bool
}

// Missing is a result that could not be saved.
type Missing struct {
	Name   string
	Reason string
	// TooLarge says that it was there but over a limit.
	TooLarge bool
}
