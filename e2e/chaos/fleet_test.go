package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/backend/blob/blobtest/s3server"
	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
)

// fleetLease is short, since many faults are waited out.
const fleetLease = 12 * time.Second

// defaultFleetRuns is how many runs meet each fault; CHAOS_RUNS says otherwise (`make chaos`: 300).
const defaultFleetRuns = 8

// fleetMachine is one agent. It starts as often as one likes.
type fleetMachine struct {
	id, log string
	command []string
	*rig.Process
}

func (m *fleetMachine) start() (err error) {
	m.Process, err = rig.Launch(m.log, m.command[0], append(os.Environ(), s3Env()...), m.command[1:]...)
	return err
}

// fleet is what a company runs, on one machine: two cids, Postgres, three NATS
// servers that replicate each other, an S3 server, and three agents: one with
// the addresses of all, in a network of its own, and two with an URL and a
// token, of which the last is in an image of its own, with a Docker engine of its own.
// What lies between the first agent, Postgres and S3 can be hurt.
type fleet struct {
	ctx      context.Context
	t        *testing.T
	dir      string // of all that the processes write
	docker   *rig.Docker
	random   *rand.Rand
	runs     int
	faults   []fleetFault
	cids     [2]*rig.Cid
	balancer *rig.Balancer
	postgres *postgres.Server
	disk     *rig.Disk // of Postgres; nil where none can be mounted
	database string
	nats     *rig.NATSCluster
	net      *rig.Netns
	objects  *s3server.Server
	s3       *rig.Proxy
	cidDBs   [2]*rig.Proxy // from each cid to the database
	// From the first agent to each.
	db, agentS3 *rig.Proxy
	agentNATS   []*rig.Proxy
	slow        *lag // on the first agent's way to the database
	slowS3      *lag
	recorder    *rig.Recorder
	machines    []*fleetMachine
	box         *rig.AgentBox  // the third machine
	carried     map[string]int // runs that succeeded, by agent
	canary      string         // a secret of one job
	made        []fleetRun     // all that were accepted
	kept        []ended        // what is to stay as it is
	hurt        hurt
}

// TestFleet hurts a whole fleet in one way after the other while runs are
// triggered and carried out (R1, R5, R9, R10, R14, R15, R16, R17, R19, R20, R21). After
// each fault every run that was accepted has one end and began at most once; its
// console and its results, of which many are in S3, are byte by byte what its
// own script told; what ended before the fault is as it was; nothing of an ended
// run is in Docker; and a run is lost only by who was hurt while he held it.
// In the end S3 and the database hold the same, and no secret is anywhere.
//
// Beside all other tests eight runs meet each of some faults, since each costs a
// second, and what a fault does to all it does to eight: their number is for what
// is rare. `make chaos` plays every fault with hundreds.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	t.Parallel()
	f := newFleet(t)
	for _, fault := range f.faults {
		began := time.Now()
		outcomes := f.meet(fault)
		t.Logf("%-45s %s: %v; memory %v", fault.name, time.Since(began).Round(100*time.Millisecond), outcomes, f.memory())
	}
	f.close()
}

func s3Env() (env []string) {
	for k, v := range s3server.Credentials() {
		env = append(env, k+"="+v)
	}
	return env
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	random := seeded(t)
	f := &fleet{t: t, random: random, runs: defaultFleetRuns, faults: chosenFaults(t, random), slow: new(lag), slowS3: new(lag), carried: map[string]int{}}
	if given := os.Getenv("CHAOS_RUNS"); given != "" {
		n, err := strconv.Atoi(given)
		require.NoError(t, err)
		f.runs = n
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute+time.Duration(f.runs*len(f.faults))*4*time.Second)
	t.Cleanup(cancel)
	f.ctx = ctx
	bin, err := rig.Build(ctx, t.TempDir())
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "chaos-fleet-") // kept when the test fails
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the data are left in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	f.dir = dir
	f.docker, err = rig.OpenDocker()
	require.NoError(t, err)
	shared := f.servers(dir)
	f.backends(bin, dir, shared)
	f.agents(bin, dir, shared)
	return f
}

// backends starts two cids and what stands before them.
func (f *fleet) backends(bin rig.Binaries, dir string, shared []string) {
	t, ctx := f.t, f.ctx
	t.Helper()
	var g errgroup.Group
	for i := range f.cids {
		c, err := rig.NewCid(bin, filepath.Join(dir, fmt.Sprint("cid", i)), append(os.Environ(), s3Env()...), append([]string{
			"--agent", "off", "--token-key", filepath.Join(dir, "token.key"),
		}, slices.Concat(f.backend(i), shared)...)...)
		require.NoError(t, err)
		f.cids[i] = c
		t.Cleanup(func() {
			if err := c.End(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
		})
		g.Go(func() error { return c.Start(ctx) })
	}
	require.NoError(t, g.Wait())
	var err error
	f.balancer, err = rig.NewBalancer()
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.balancer.Close() })
	f.point(0)
	client := f.cids[0].Client()
	f.canary = "canary-" + rig.Random() + rig.Random()
	require.NoError(t, client.Call(ctx, http.MethodPut, "/jobs/record", fleetJob(f.recorder.URL, nil, "CANARY"), nil))
	require.NoError(t, client.Call(ctx, http.MethodPut, "/jobs/record/secrets/CANARY", map[string]any{"value": f.canary}, nil))
	require.NoError(t, client.Call(ctx, http.MethodPut, "/jobs/neighbour", fleetJob(f.recorder.URL, map[string]string{"NEIGHBOUR": "yes"}), nil))
}

// point lets the balancer send what comes to a cid.
func (f *fleet) point(i int) { f.balancer.Point(strings.TrimPrefix(f.cids[i].URL, "http://")) }

// agents starts the three machines.
func (f *fleet) agents(bin rig.Binaries, dir string, shared []string) {
	t := f.t
	t.Helper()
	for i := range 3 {
		m := &fleetMachine{id: "e2e-" + rig.Random(), log: filepath.Join(dir, fmt.Sprintf("agent%d.log", i))}
		args := []string{
			bin.Path("ci-agent"), "--id", m.id, "--data", filepath.Join(dir, fmt.Sprint("agent", i)), "--cpus", "3", "--memory", "8GiB", "--max-load", "1",
			"--reach", f.recorder.Port,
		}
		switch i {
		case 0:
			m.command = slices.Concat(f.net.Command(), args, []string{"--url", f.cids[0].URL}, f.agent(), shared)
		case 1:
			token := filepath.Join(dir, m.id+".token")
			require.NoError(t, os.WriteFile(token, []byte(f.token(m.id)), 0o600))
			m.command = append(args, "--url", "http://"+f.balancer.Addr, "--token-file", token)
		case 2:
			m.command = f.boxed(bin, m.id)
		}
		require.NoError(t, m.start())
		f.machines = append(f.machines, m)
		t.Cleanup(func() {
			_ = m.Kill()
			_ = rig.Clean(context.WithoutCancel(f.ctx), m.id) // after a failure
		})
	}
}

// boxed makes the machine that is an image of its own, and returns what starts it.
func (f *fleet) boxed(bin rig.Binaries, id string) []string {
	t := f.t
	t.Helper()
	var err error
	f.box, err = rig.NewAgentBox(f.ctx, bin)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(f.ctx)
		if t.Failed() && f.box != nil {
			t.Logf("the agent in its own image said:\n%s", f.box.Said(ctx))
		}
		require.NoError(t, f.box.End(ctx))
	})
	require.NoError(t, err)
	way, err := rig.NewProxy(f.box.Gateway, "tcp", f.balancer.Addr, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = way.Close() })
	command, err := f.box.Create(f.ctx, bin, []string{"CI_AGENT_TOKEN=" + f.token(id)},
		"--id", id, "--cpus", "3", "--memory", "8GiB", "--max-load", "1", "--reach", f.recorder.Port, "--url", fmt.Sprintf("http://%s:%d", rig.TestHost, port(t, way.Addr)))
	require.NoError(t, err)
	return command
}

// token makes the token of an agent.
func (f *fleet) token(agent string) string {
	var made struct {
		Bearer string `json:"bearer"`
	}
	require.NoError(f.t, f.cids[0].Client().Call(f.ctx, http.MethodPost, "/tokens", map[string]any{"name": agent, "role": "agent"}, &made))
	return made.Bearer
}
