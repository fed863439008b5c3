package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/backend/blob/blobtest/s3server"
	"ci/backend/store"
	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
)

// fleetLease is short, since many faults are waited out.
const fleetLease = 12 * time.Second

// defaultFleetRuns is how many runs meet each fault; CHAOS_RUNS says otherwise (`make chaos`: 300).
const defaultFleetRuns = 8

// fleetScript tells that it has begun, prints numbered lines, lives for a
// moment or until its gate is opened, and tells that it ends.
const fleetScript = `
git ls-remote "$RECORDER/begun/$CI_RUN_ID" 2>/dev/null || true
i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo "line $i of run $CI_RUN_ID"; done
if [ -n "${GATE:-}" ]; then git ls-remote "$RECORDER/gate/$GATE" 2>/dev/null || true; else sleep 0.5; fi
while [ $i -lt 200 ]; do i=$((i+1)); echo "line $i of run $CI_RUN_ID"; done
echo "$CI_RUN_ID" > id.txt
git ls-remote "$RECORDER/ended/$CI_RUN_ID" 2>/dev/null || true
`

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
	db, s3   *rig.Proxy
	slow     *lag // on the first agent's way to the database
	slowS3   *lag
	recorder *rig.Recorder
	machines []*fleetMachine
	box      *rig.AgentBox  // the third machine
	carried  map[string]int // runs that succeeded, by agent
}

// TestFleet hurts a whole fleet in one way after the other while runs are
// triggered and carried out (R1, R5, R9, R10, R14, R15, R16, R17, R19, R20, R21). After
// each fault every run that was accepted has one end and began at most once, no
// console has a gap, and who was not touched has not noticed.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	t.Parallel()
	f := newFleet(t)
	for _, fault := range f.faults {
		began := time.Now()
		outcomes := f.meet(fault)
		t.Logf("%-45s %4d runs in %6s: %v", fault.name, f.runs, time.Since(began).Round(100*time.Millisecond), outcomes)
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
	f := &fleet{t: t, random: seeded(t), runs: defaultFleetRuns, faults: chosenFaults(t), slow: new(lag), slowS3: new(lag), carried: map[string]int{}}
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
			"--agent", "off", "--database", f.database, "--token-key", filepath.Join(dir, "token.key"),
		}, shared...)...)
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
	job := map[string]any{
		"freestyle":  map[string]any{"script": fleetScript, "results": map[string]any{"id": map[string]any{"path": "id.txt", "type": "text/plain"}}},
		"parameters": []map[string]any{{"name": "RECORDER", "default": f.recorder.URL}},
	}
	require.NoError(t, f.cids[0].Client().Call(ctx, http.MethodPut, "/jobs/record", job, nil))
}

// point lets the balancer send what comes to a cid.
func (f *fleet) point(i int) { f.balancer.Point(strings.TrimPrefix(f.cids[i].URL, "http://")) }

// agents starts the three machines.
func (f *fleet) agents(bin rig.Binaries, dir string, shared []string) {
	t := f.t
	t.Helper()
	name := f.database[strings.LastIndex(f.database, "/")+1 : strings.Index(f.database, "?")]
	for i := range 3 {
		m := &fleetMachine{id: "e2e-" + rig.Random(), log: filepath.Join(dir, fmt.Sprintf("agent%d.log", i))}
		args := []string{
			bin.Path("ci-agent"), "--id", m.id, "--data", filepath.Join(dir, fmt.Sprint("agent", i)), "--cpus", "3", "--memory", "8GiB", "--max-load", "1",
			"--reach", f.recorder.Port,
		}
		switch i {
		case 0:
			m.command = append(f.net.Command(), append(append(args, "--url", f.cids[0].URL,
				"--database", fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", f.db.Addr, name)), shared...)...)
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

// meet triggers runs, lets the fault happen meanwhile, and waits for all.
func (f *fleet) meet(fault fleetFault) map[string]int {
	f.t.Helper()
	wait := time.Duration(f.random.Float64() * float64(1500*time.Millisecond))
	ids := make([]int64, f.runs)
	var g errgroup.Group
	g.SetLimit(4)
	var hurt sync.WaitGroup
	hurt.Go(func() {
		moment := time.NewTimer(wait)
		<-moment.C
		if err := fault.happens(f); err != nil {
			f.t.Errorf("%s: %v", fault.name, err)
		}
	})
	for i := range ids {
		at := f.random.IntN(2)
		g.Go(func() (err error) {
			ids[i], err = f.trigger(at, fmt.Sprintf("%s/%d", fault.name, i))
			return err
		})
	}
	require.NoError(f.t, g.Wait())
	hurt.Wait()
	outcomes := map[string]int{}
	for _, id := range ids {
		run := f.await(id)
		outcomes[run.Outcome]++
		if run.Outcome == "succeeded" {
			f.carried[run.Agent]++
		}
		f.check(fault, run)
	}
	require.False(f.t, f.t.Failed(), "%s: see above", fault.name)
	return outcomes
}

// trigger triggers until a cid has acknowledged; the key keeps the run single.
func (f *fleet) trigger(at int, key string) (id int64, err error) {
	return id, rig.Poll(f.ctx, 2*time.Minute, func() error {
		at = 1 - at
		a, err := f.cids[at].Client().Do(f.ctx, http.MethodPost, "/jobs/record/runs", []byte("{}"), "Idempotency-Key: "+key)
		if err != nil {
			return err
		}
		if a.Status != http.StatusCreated {
			return fmt.Errorf("%d: %s", a.Status, a.Body)
		}
		_, err = fmt.Sscanf(string(a.Body), `{"id":%d`, &id)
		return err
	})
}

// await waits for a run's end, at whichever cid answers.
func (f *fleet) await(id int64) (run rig.Run) {
	f.t.Helper()
	at := 0
	require.NoError(f.t, rig.Poll(f.ctx, 4*time.Minute, func() (err error) {
		at = 1 - at
		if run, err = f.cids[at].Client().Wait(f.ctx, "record", id, 10*time.Second); err == nil && run.Status != "done" {
			err = fmt.Errorf("run %d is still %s", id, run.Phase)
		}
		return err
	}))
	return run
}

// check compares a run's end with what its script told, and with its console.
func (f *fleet) check(fault fleetFault, run rig.Run) {
	said := map[string]int{}
	for _, word := range f.recorder.Words() {
		said[word]++
	}
	began, ended := said[fmt.Sprintf("begun/%d", run.ID)], said[fmt.Sprintf("ended/%d", run.ID)]
	switch {
	case run.Outcome == "succeeded" && (began != 1 || ended != 1):
		f.t.Errorf("%s: run %d succeeded, began %d times and ended %d times", fault.name, run.ID, began, ended)
	case run.Outcome == "error" && fault.harm == fills && strings.Contains(run.Reason, "disk is full"):
	case run.Outcome == "lost" && fault.harm != loses, run.Outcome != "succeeded" && run.Outcome != "lost":
		f.t.Errorf("%s: run %d: %s: %s", fault.name, run.ID, run.Outcome, run.Reason)
	case began > 1 || ended > began:
		f.t.Errorf("%s: run %d (%s) began %d times and ended %d times", fault.name, run.ID, run.Outcome, began, ended)
	case began == 1 && !run.ScriptStarted:
		f.t.Errorf("%s: run %d says that no script had begun (%s), and it had", fault.name, run.ID, run.Reason)
	}
	if err := f.console(run); err != nil {
		f.t.Errorf("%s: the console of run %d (%s): %v", fault.name, run.ID, run.Outcome, err)
	}
}

// console says what is wrong with a run's console: the script's lines are there in
// order, all of them if it succeeded, else up to some point.
func (f *fleet) console(run rig.Run) error {
	var a *rig.Answer
	err := rig.Poll(f.ctx, 2*time.Minute, func() (err error) {
		a, err = f.cids[0].Client().Do(f.ctx, http.MethodGet, fmt.Sprintf("/jobs/record/runs/%d/results/console", run.ID), nil)
		if err == nil && a.Status != http.StatusOK { // the database may have been away a moment ago
			err = fmt.Errorf("%d: %s", a.Status, a.Body)
		}
		return err
	})
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(string(a.Body)) {
		if strings.HasPrefix(line, "ci:") {
			continue
		}
		n++
		if want := fmt.Sprintf("line %d of run %d\n", n, run.ID); line != want && !(run.Outcome == "lost" && strings.HasPrefix(want, line)) {
			return fmt.Errorf("line %d is %q", n, line)
		}
	}
	if run.Outcome == "succeeded" && n != 200 {
		return fmt.Errorf("it has %d lines", n)
	}
	return nil
}

// close ends the fleet in order: every agent is drained and leaves nothing, and
// the database tells of each run once.
func (f *fleet) close() {
	for _, m := range f.machines {
		require.NotZero(f.t, f.carried[m.id], "agent %s has carried out nothing: %v", m.id, f.carried)
		require.NoError(f.t, m.Stop(2*time.Minute))
		require.NoError(f.t, rig.Clean(f.ctx, m.id))
	}
	require.NoError(f.t, f.box.Bare(f.ctx))
	db, err := store.Open(f.ctx, f.database, discard())
	require.NoError(f.t, err)
	defer db.Close()
	onceDone(f.ctx, f.t, db, f.runs*len(f.faults))
}
