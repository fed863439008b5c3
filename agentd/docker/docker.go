// Package docker carries out runs in containers of a Docker engine. It needs
// the engine's API alone: no path of the machine is mounted and no file is
// copied, so that the engine may be on another machine.
//
// What belongs to an agent carries the label ci.agent, what belongs to a run
// ci.run besides; objects of other agents are never touched.
package docker

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/client"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// Config is what a Driver needs to know. Agent and Log are required.
type Config struct {
	// Agent is the agent's id. Its objects are found by it after a restart.
	Agent string
	// Host is the engine's address ("unix:///var/run/docker.sock",
	// "tcp://host:2376"); "" means DOCKER_HOST, else the usual socket.
	Host string
	// ToolboxImage names a published toolbox image; "" puts one together from
	// Executable and the programs of this machine.
	ToolboxImage string
	// Executable is the static binary that is the toolbox; "" means the running one.
	Executable string
	// Subnet is the range from which the networks of the agent's runs are taken; "" means DefaultSubnet.
	Subnet string
	// Reach are TCP ports of the engine's machine that jobs may connect to. All
	// else of that machine is closed to them.
	Reach []uint16
	// OpenHost leaves the engine's machine open to jobs: for engines whose
	// kernel has no nftables.
	OpenHost bool
	// Dir is a folder of the agent's own, for what it has to remember of its
	// images; "" forgets it with the process.
	Dir string
	// ImageBudget is how many bytes of images that the agent has pulled or built it
	// keeps; 0 means DefaultImageBudget.
	ImageBudget int64
	// CacheRegistry is HOST/REPOSITORY, over which agents share what they
	// build; "" for none.
	CacheRegistry string
	Log           *slog.Logger
	// Disk is how many bytes one run may write to the engine's disk: in its
	// container, its services' and its volumes; 0 means DefaultDisk, less no limit.
	Disk      int64
	diskFloor int64 // for tests
	// MirrorBudget is how many bytes of large repositories are kept between
	// checkouts; 0 means DefaultMirrorBudget, less keeps none.
	MirrorBudget int64
	// mirrorFrom, slack and grace are for tests.
	mirrorFrom, slack int64
	grace             time.Duration
}

// DefaultSubnet is seldom used elsewhere, and not among Docker's own.
const DefaultSubnet = "10.231.0.0/16"

// Driver implements runner.Driver.
type Driver struct {
	cfg    Config
	subnet netip.Prefix
	api    *client.Client
	log    *slog.Logger
	names  names
	pulls  sharing // by reference and account
	builds sharing // by key
	keeper *keeper
	cache  reference.Named // the cache registry's repository; nil for none

	pushes     sync.WaitGroup
	pushing    context.Context // of all pushes
	stopPushes context.CancelFunc
	meters     meters
	networking *turns // networks that are made or removed
	starting   *turns // containers that are made or started
	// subnets are those of the networks of single runs.
	subnets subnets

	opening sync.Mutex // held by Open and Close
	touched bool       // Open has begun to make things; under opening
	mu      sync.Mutex
	shared  *shared // nil until Open
	// warnings are what Open found that the engine can't enforce.
	warnings []string
	// engine is what the log was told of the engine.
	engine string
}

// shared is what all runs of the agent use.
type shared struct {
	toolbox image
	// toolboxRef is its full reference.
	toolboxRef string
	noGit      bool   // the toolbox image has no git
	volume     string // with the toolbox's binary
	network    string
	mtu        string // of every network's packets; "" is the engine's own choice
	cores      int    // the engine refuses to give a container more
	os         string // the engine's, as it says it
	arch       string
	pool       *pool
	mirrors    *mirrors
	walled     bool // the wall is up
}

var _ runner.Driver = (*Driver)(nil)

// New checks cfg. It does not talk to the engine.
func New(cfg Config) (*Driver, error) {
	if cfg.Agent == "" || cfg.Log == nil {
		return nil, ci.Errorf(ci.CodeInternal, "docker.New needs an agent id and a log")
	}
	if cfg.Subnet == "" {
		cfg.Subnet = DefaultSubnet
	}
	subnet, err := netip.ParsePrefix(cfg.Subnet)
	if err != nil || !subnet.Addr().Is4() || subnet.Bits() < 8 || subnet.Bits() > 24 {
		return nil, ci.Errorf(ci.CodeInvalid, "%q is not a subnet for runs: it must be an IPv4 range between /8 and /24, such as %s", cfg.Subnet, DefaultSubnet)
	}
	cache, err := cacheRepository(cfg.CacheRegistry)
	if err != nil {
		return nil, err
	}
	cfg.Disk, cfg.diskFloor = cmp.Or(cfg.Disk, DefaultDisk), cmp.Or(cfg.diskFloor, diskFloor)
	cfg.slack, cfg.grace = cmp.Or(cfg.slack, slack), cmp.Or(cfg.grace, graceTime)
	if cfg.Executable == "" {
		if cfg.Executable, err = os.Executable(); err != nil {
			return nil, ci.Errorf(ci.CodeInternal, "the running binary can't be found: %w", err)
		}
	}
	options := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if cfg.Host != "" {
		options = append(options, client.WithHost(cfg.Host))
	}
	api, err := client.NewClientWithOpts(options...)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the Docker engine's address is not valid: %w; an example is unix:///var/run/docker.sock", err)
	}
	d := &Driver{cfg: cfg, subnet: subnet.Masked(), api: api, log: cfg.Log, cache: cache, keeper: newKeeper(cfg.Dir, cfg.ImageBudget, cfg.Log), networking: newTurns(networkTurns), starting: newTurns(containerTurns)}
	d.pushing, d.stopPushes = context.WithCancel(context.Background()) // ends with Close
	_, upper := halves(d.subnet)
	d.subnets.begin(upper, d.hash)
	return d, nil
}

// Ready returns nil when the engine answers, so that Open can make what runs
// share; else a sentence that says why not. It asks for a few seconds at most.
func (d *Driver) Ready(ctx context.Context) error { return d.ping(ctx) }

func (d *Driver) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := d.api.Ping(ctx)
	return d.explain(err, "Docker refused a ping")
}

// ready returns what Open made.
func (d *Driver) ready() (*shared, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shared == nil {
		return nil, ci.Errorf(ci.CodeUnavailable, "the agent has not yet prepared Docker for runs; its log says what it waits for")
	}
	return d.shared, nil
}
