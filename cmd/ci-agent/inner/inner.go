// Package inner runs an agent together with a Docker engine of its own, in one
// container: on Kubernetes, or wherever the machine's engine shall stay out of
// reach. It is the container's first process: it starts dockerd, waits until it
// answers, starts the agent, hands signals on to it, reaps whoever is left to
// it, and takes the engine down when the agent has ended.
package inner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Verbs of ci-agent that belong to this package.
const (
	// Verb starts an engine, and the agent with the arguments that follow.
	Verb = "with-engine"
	// ReadyVerb exits with 0 when that engine answers, else with 1.
	ReadyVerb = "engine-ready"
)

// Settings are read from the environment, since the arguments are the agent's.
const (
	envData   = "CI_ENGINE_DATA"
	envFlags  = "CI_ENGINE_FLAGS"
	envUser   = "CI_ENGINE_AGENT_USER"
	envSocket = "DOCKER_HOST"
)

const (
	defaultData = "/var/lib/ci-agent"
	// runFolder is new in each life of the container: process ids in it are of this life.
	runFolder = "/run/ci-engine"
	socket    = runFolder + "/docker.sock"
	// readyLimit is how long an engine may take to answer: one that finds many
	// containers of an earlier life takes some seconds.
	readyLimit = 2 * time.Minute
	// stopLimit is how long it may take to end. What it still runs then is killed with it.
	stopLimit = 40 * time.Second
	// restartMost is the longest pause before an engine that has died is started again.
	restartMost = 30 * time.Second
)

// Main runs a verb of this package, if args[1] is one.
func Main(args []string, stderr io.Writer) (code int, ran bool) {
	if len(args) < 2 {
		return 0, false
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	switch args[1] {
	case Verb:
		return report(stderr, run(args[2:], log)), true
	case ReadyVerb:
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return report(stderr, ping(ctx, socket)), true
	}
	return 0, false
}

// exit is an error whose message was told already, by the process that ended so.
type exit int

func (e exit) Error() string { return "exit status " + strconv.Itoa(int(e)) }

func report(stderr io.Writer, err error) int {
	var code exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(stderr, "ci-agent:", err)
	return 1
}

// run makes the container fit for an engine, and looks after both processes.
func run(args []string, log *slog.Logger) error {
	owner, err := agentUser(os.Getenv(envUser))
	if err != nil {
		return err
	}
	data := os.Getenv(envData)
	if data == "" {
		data = defaultData
	}
	if err := privileged(); err != nil {
		return err
	}
	parent, err := prepare(data, owner)
	if err != nil {
		return err
	}
	self, err := filepath.EvalSymlinks("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("the program's own file can't be found: %w", err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	f := newFamily()
	defer f.close()
	s := &supervisor{
		family: f, log: log, signals: signals,
		engine: command{argv: engineArguments(data, parent, owner), env: os.Environ()},
		agent: command{
			argv: append([]string{self}, args...), user: owner,
			env: append(os.Environ(), envSocket+"=unix://"+socket),
		},
		ready: func(ctx context.Context) error { return ping(ctx, socket) },
		limit: readyLimit, stopLimit: stopLimit, pause: time.Second,
	}
	return s.run()
}

// engineArguments is dockerd's command line. CI_ENGINE_FLAGS comes last, so that
// it can add to ours. Containers' control groups go below our own (parent; ""
// where a namespace hides what is above).
func engineArguments(data, parent string, owner account) []string {
	argv := []string{
		"dockerd", "--host", "unix://" + socket, "--group", strconv.Itoa(int(owner.gid)), "--tls=false",
		"--data-root", filepath.Join(data, "engine"), "--exec-root", runFolder + "/exec", "--pidfile", runFolder + "/docker.pid",
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--userland-proxy=false", "--log-level", "warn",
	}
	if parent != "" {
		argv = append(argv, "--cgroup-parent", parent)
	}
	if mtu := leastMTU(); mtu > 0 {
		argv = append(argv, "--mtu", strconv.Itoa(mtu))
	}
	return append(argv, strings.Fields(os.Getenv(envFlags))...)
}

// account is who the agent runs as.
type account struct{ uid, gid uint32 }

// agentUser reads UID:GID; "" is 10001:10001. The agent needs no more than the
// engine's socket, so that nothing that it reads of a job is read as root.
func agentUser(text string) (account, error) {
	if text == "" {
		return account{10001, 10001}, nil
	}
	u, g, _ := strings.Cut(text, ":")
	uid, err := strconv.ParseUint(u, 10, 32)
	gid, err2 := strconv.ParseUint(g, 10, 32)
	if err := errors.Join(err, err2); err != nil {
		return account{}, fmt.Errorf("%s is %q; give UID:GID, such as 10001:10001", envUser, text)
	}
	return account{uint32(uid), uint32(gid)}, nil
}
