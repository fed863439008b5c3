package local

import (
	"context"
	"io"

	"ci/pkg/ci"
)

// Options say how to reach an engine, and where to remember what is in it.
type Options struct {
	// State is a folder of the user's own, for the names under which things are in Docker.
	State string
	// Docker is the engine's address; "" means DOCKER_HOST, else the usual socket.
	Docker string
	// ToolboxImage names a published toolbox image; "" puts one together from this machine.
	ToolboxImage string
	// Subnet is the range from which networks are taken; "" is the driver's default.
	Subnet string
	// Reach are TCP ports of the engine's machine that the script may connect to.
	Reach []uint16
	// OpenHost leaves the engine's machine open to the script.
	OpenHost bool
}

// Order is one job file to be carried out. All fields but the last four are required.
type Order struct {
	Options
	Job  string
	Spec *ci.Spec
	Tree *Tree
	// Parameters and Secrets are variables of the script. Secrets are masked in what it prints.
	Parameters map[string]string
	Secrets    map[string]string
	// Console takes what the script prints.
	Console io.Writer
	// Told is told in a few words how far it is.
	Told func(string)
	// Save says where a result's bytes go: a file's path, or "" for nowhere.
	Save func(ci.Result) (path string, err error)
	// Again gives a context that ends with the next interrupt, after ctx has ended with the first.
	Again func(ctx context.Context) (context.Context, context.CancelFunc)

	// Trace is what the script goes on with in a distributed trace; nil for none.
	Trace *ci.Trace
	// AgentSocket is the developer's SSH agent, for ssh: true; "" for none.
	AgentSocket string
	// KnownHosts are the hosts that the script's ssh believes, for ssh: true.
	KnownHosts []ci.HostKey
}
