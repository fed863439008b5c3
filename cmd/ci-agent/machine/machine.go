// Package machine joins an agent with its Docker driver. ci-agent is one such
// machine; cid contains one.
package machine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"
	"github.com/google/uuid"
	"github.com/spf13/pflag"

	"ci/agentd"
	"ci/agentd/docker"
	"ci/agentd/mask"
	"ci/agentd/runner"
	"ci/pkg/ci"
)

// Version is set at build time.
var Version = "dev"

// Agent carries runs out until it is drained or its context ends.
type Agent interface {
	Run(ctx context.Context) error
	// Drain takes nothing new and lets Run return once all runs in hand have
	// ended. A second call aborts them; those that somebody had aborted before, it kills.
	Drain()
}

// Options are an agent's settings.
type Options struct {
	id           string
	cpus         float64
	memory       string
	threshold    float64
	docker       string
	toolboxImage string
	subnet       string
	reach        []uint
	openHost     bool
	imageBudget  string
	cache        string
	disk         string
	mirrorBudget string
}

// Flags defines the agent's settings; cid puts "agent-" before each name.
// maxLoad is the default of max-load: a machine among many leaves a run to a
// less busy one, while the only agent of a laptop would help nobody by refusing.
func (o *Options) Flags(fs *pflag.FlagSet, prefix string, maxLoad float64) {
	fs.StringVar(&o.id, prefix+"id", "", "name of this agent, for good (default: the host's name and a random part, kept in the data folder)")
	fs.Float64Var(&o.cpus, prefix+"cpus", 0, "cores to offer to runs (default: all that the machine and its control groups have)")
	fs.StringVar(&o.memory, prefix+"memory", "", "memory to offer to runs, for example 8GiB (default: all that the machine and its control groups have)")
	fs.Float64Var(&o.threshold, prefix+"max-load", maxLoad, "CPU load, 0 to 1, over which no further run is taken; 1 never refuses for load")
	fs.StringVar(&o.docker, prefix+"docker", "", "Docker engine, unix:///path or tcp://host:port (default: $DOCKER_HOST, else the local one)")
	fs.StringVar(&o.toolboxImage, prefix+"toolbox-image", "", "published image with git and a shell, instead of one put together from this machine")
	fs.StringVar(&o.subnet, prefix+"subnet", "", "private address range that runs' networks are cut from, for example 10.231.0.0/16")
	fs.UintSliceVar(&o.reach, prefix+"reach", nil, "TCP ports of the engine's machine that jobs may connect to; all else of it is closed to them")
	fs.StringVar(&o.imageBudget, prefix+"image-budget", "20GiB", "disk space for images that this agent has pulled or built; those unused for the longest time leave first")
	fs.StringVar(&o.cache, prefix+"cache-registry", "", "HOST/REPOSITORY over which agents share the images that they build from Dockerfiles (default: none)")
	fs.StringVar(&o.disk, prefix+"disk", "20GiB", "what one run may write to the engine's disk, in its containers and volumes together; 0 for no limit")
	fs.StringVar(&o.mirrorBudget, prefix+"mirror-budget", "10GiB", "disk space for what this agent keeps of large repositories between checkouts, from a 160th of it each; those unused for the longest time leave first; 0 keeps none")
	fs.BoolVar(&o.openHost, prefix+"open-host", false, "leave the engine's machine open to jobs, for a kernel without nftables")
}

// ports are the settings' ports as the driver wants them.
func ports(list []uint) ([]uint16, error) {
	out := make([]uint16, len(list))
	for i, p := range list {
		if p == 0 || p > math.MaxUint16 {
			return nil, ci.Errorf(ci.CodeInvalid, "reach names port %d; a port is a number from 1 to 65535", p)
		}
		out[i] = uint16(p)
	}
	return out, nil
}

// Parts is what an agent is joined to.
type Parts struct {
	Dir    string // for its identity and for results on their way
	Uplink agentd.Uplink
	Queue  agentd.Queue
	Bus    agentd.Bus
	// Classes are the quota classes, Depths what waits in each lane.
	Classes func(context.Context) ([]ci.Quota, error)
	Depths  func(context.Context) ([]ci.QueueDepth, error)
	// Lease is how long the backend waits for a silent agent.
	Lease time.Duration
	// Reborn is told the agent's id once nothing of its earlier life is left.
	Reborn func(ctx context.Context, agent string) error
	// API answers the scripts that may call it.
	API http.Handler
	Log *slog.Logger
}

// ClassesOf reads the quota classes out of the configuration.
func ClassesOf(config func(context.Context) (*ci.Config, error)) func(context.Context) ([]ci.Quota, error) {
	return func(ctx context.Context) ([]ci.Quota, error) {
		c, err := config(ctx)
		if err != nil {
			return nil, err
		}
		return c.Classes, nil
	}
}

// New makes an agent on Docker.
func New(o Options, p Parts) (Controlled, error) {
	id, err := identity(o.id, p.Dir)
	if err != nil {
		return nil, err
	}
	memory, err := bytesOf("the memory to offer", o.memory)
	if err != nil {
		return nil, err
	}
	budget, err := bytesOf("the image budget", o.imageBudget)
	if err != nil {
		return nil, err
	}
	reach, err := ports(o.reach)
	if err != nil {
		return nil, err
	}
	disk, err := limitOf("the disk of one run", o.disk)
	if err != nil {
		return nil, err
	}
	mirrors, err := limitOf("the mirror budget", o.mirrorBudget)
	if err != nil {
		return nil, err
	}
	veil := mask.NewVeil(p.Log.Handler())
	p.Log = slog.New(veil)
	driver, err := docker.New(docker.Config{
		Agent: id, Host: o.docker, ToolboxImage: o.toolboxImage, Subnet: o.subnet, Reach: reach, OpenHost: o.openHost,
		Disk: disk, Dir: p.Dir, ImageBudget: budget, MirrorBudget: mirrors, CacheRegistry: o.cache, Log: p.Log,
	})
	if err != nil {
		return nil, err
	}
	spool := filepath.Join(p.Dir, "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return nil, err
	}
	return agentd.New(agentd.Config{
		ID: id, Version: Version, Uplink: p.Uplink, Queue: p.Queue, Bus: p.Bus,
		Driver:  &reborn{Driver: driver, tell: func(ctx context.Context) error { return p.Reborn(ctx, id) }},
		Classes: p.Classes, Depths: p.Depths, CPUs: o.cpus, Memory: memory, Threshold: o.threshold, TTL: p.Lease, Dir: spool, Log: p.Log,
		Runner: runner.Config{API: p.API, Veil: veil},
	})
}

// reborn tells the backend, once in this process's life and after the sweep of
// what an earlier one left, that the agent holds nothing any more.
type reborn struct {
	runner.Driver
	tell func(context.Context) error
	mu   sync.Mutex
	told bool
}

// Open makes what all runs share and sweeps.
func (r *reborn) Open(ctx context.Context) error {
	if err := r.Driver.Open(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told {
		return nil
	}
	if err := r.tell(ctx); err != nil {
		return err
	}
	r.told = true
	return nil
}

// identity is the agent's name: the chosen one, or one that the data folder keeps.
func identity(chosen, dir string) (string, error) {
	if chosen != "" {
		return chosen, ci.ValidateName(chosen)
	}
	path := filepath.Join(dir, "agent.id")
	b, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(b)); err == nil && id != "" {
		return id, ci.ValidateName(id)
	}
	host, _ := os.Hostname()
	id := hostPart(host) + "-" + uuid.NewString()[:8]
	return id, os.WriteFile(path, []byte(id+"\n"), 0o600)
}

// hostPart keeps what a name may hold of a host's name.
func hostPart(host string) string {
	host, _, _ = strings.Cut(host, ".")
	if len(host) > 40 {
		host = host[:40]
	}
	if ci.ValidateName(host) != nil {
		return "agent"
	}
	return host
}

func bytesOf(what, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := units.RAMInBytes(s)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s, %q, is not a size like 8GiB", what, s)
	}
	return n, nil
}

// limitOf is a limit as the driver wants it: less than nothing is none.
func limitOf(what, s string) (int64, error) {
	if s == "0" {
		return -1, nil
	}
	n, err := units.RAMInBytes(s)
	if err != nil || n < 1<<20 {
		return 0, fmt.Errorf("%s, %q, is neither 0 nor a size of 1MiB or more, like 20GiB", what, s)
	}
	return n, nil
}

// Off is an agent that carries nothing out.
func Off() Agent { return &off{done: make(chan struct{})} }

type off struct {
	once sync.Once
	done chan struct{}
}

// Run waits to be drained.
func (o *off) Run(ctx context.Context) error {
	select {
	case <-o.done:
	case <-ctx.Done():
	}
	return nil
}

// Drain lets Run return.
func (o *off) Drain() { o.once.Do(func() { close(o.done) }) }

// Logger makes a program's log.
func Logger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("--log-format %q is neither text nor json", format)
}
