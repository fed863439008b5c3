package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/backend/store"
	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
)

const (
	// streams is how many callers trigger one run after the other.
	streams = 3
	// between is how many runs end on each step of the way.
	between = 6
)

// upgraded is a fleet on its way from one release to the next: two cids behind a
// balancer, an agent with the addresses of all, and one with an URL and a token.
type upgraded struct {
	*fleet
	dir    string
	shared []string // flags
	made   int      // cids
	next   rig.Binaries
	client *rig.Client // through the balancer
	stream stream
	// stopping says that cids of the earlier release are being stopped.
	stopping atomic.Bool
}

// stream is triggered runs, one after the other for each caller.
type stream struct {
	flow  errgroup.Group
	over  chan struct{}
	ids   chan int64
	ended atomic.Int64
}

// TestUpgrade replaces the cids and the agents of a release by those of the next
// one while runs are triggered and carried out (R30). The earlier release is
// built from the commit before the last change of the database's schema: the
// new cid changes it under the old ones, which go on, and one of which is
// started again on it. No run is lost, aborted or begun twice, no request
// fails, and a run that began before the first step ends after the last cid.
func TestUpgrade(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	t.Parallel()
	u := newUpgraded(t)
	held := u.hold()
	for i := range streams {
		u.stream.flow.Go(func() error { return u.runs(i) })
	}
	u.more("the earlier release")
	u.replaceCids()
	u.replaceAgents(held)
	u.more("the new release")
	ids := append(u.still(), held)
	for _, id := range ids {
		run := fleetRun{id: id, job: "record"}
		u.check(fleetFault{name: "upgrade"}, run, u.await(run))
	}
	u.finish(len(ids))
	t.Logf("%d runs", len(ids))
}

func newUpgraded(t *testing.T) *upgraded {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	u := &upgraded{fleet: &fleet{ctx: ctx, t: t}, stream: stream{over: make(chan struct{}), ids: make(chan int64, 1<<16)}}
	var err error
	u.next, err = rig.Build(ctx, t.TempDir())
	require.NoError(t, err)
	earlier, commit, err := rig.EarlierRelease(ctx, t.TempDir())
	require.NoError(t, err)
	if commit == "" {
		t.Log("the repository's history is not here: the earlier release is this tree under another version, with the same schema")
	} else {
		t.Logf("the earlier release is commit %s", commit)
	}
	u.dir, err = os.MkdirTemp("", "chaos-upgrade-") // kept when the test fails
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the data are left in %s", u.dir)
			return
		}
		_ = os.RemoveAll(u.dir)
	})
	u.servers()
	for i := range u.cids {
		u.cids[i] = u.add(earlier)
	}
	u.turn(u.cids[0])
	u.client = rig.NewClient("http://"+u.balancer.Addr, u.cids[0].Token)
	require.NoError(t, u.client.Call(ctx, http.MethodPut, "/jobs/record", fleetJob(u.recorder.URL, nil), nil))
	token := filepath.Join(u.dir, "token")
	u.addAgent(earlier, append([]string{"--url", u.cids[0].URL}, u.shared...)...)
	id := u.addAgent(earlier, "--url", u.client.URL, "--token-file", token)
	require.NoError(t, os.WriteFile(token, []byte(u.token(id)), 0o600))
	for _, m := range u.machines {
		require.NoError(t, m.start())
		u.ready(m, "earlier")
	}
	return u
}

// servers starts what both releases stand on.
func (u *upgraded) servers() {
	t := u.t
	t.Helper()
	var err error
	u.recorder, err = rig.NewRecorder()
	require.NoError(t, err)
	t.Cleanup(func() { _ = u.recorder.Close() })
	u.database = postgres.Start(t).Database(t)
	broker, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, SyncAlways: true})
	require.NoError(t, err)
	broker.Start()
	t.Cleanup(func() { broker.Shutdown(); broker.WaitForShutdown() })
	require.True(t, broker.ReadyForConnections(time.Minute))
	u.balancer, err = rig.NewBalancer()
	require.NoError(t, err)
	t.Cleanup(func() { _ = u.balancer.Close() })
	u.shared = []string{
		"--database", u.database, "--queue", broker.ClientURL(), "--blobs", "file:" + filepath.Join(u.dir, "blobs"),
		"--secret-key", filepath.Join(u.dir, "secret.key"),
	}
}

// add starts one more cid.
func (u *upgraded) add(bin rig.Binaries) *rig.Cid {
	u.t.Helper()
	u.made++
	c, err := rig.NewCid(bin, filepath.Join(u.dir, fmt.Sprint("cid", u.made)), os.Environ(),
		append([]string{"--agent", "off", "--token-key", filepath.Join(u.dir, "token.key")}, u.shared...)...)
	require.NoError(u.t, err)
	u.t.Cleanup(func() {
		if err := c.End(context.WithoutCancel(u.ctx)); err != nil {
			u.t.Error(err)
		}
	})
	require.NoError(u.t, c.Start(u.ctx))
	return c
}

// turn has new connections go to a cid; those that are open stay where they are.
func (u *upgraded) turn(c *rig.Cid) { u.balancer.Turn(strings.TrimPrefix(c.URL, "http://")) }

// addAgent makes an agent, which is not started yet, and returns its id.
func (u *upgraded) addAgent(bin rig.Binaries, args ...string) string {
	m := &fleetMachine{id: "e2e-" + rig.Random()}
	data := filepath.Join(u.dir, m.id)
	m.log = data + ".log"
	m.command = append([]string{
		bin.Path("ci-agent"), "--id", m.id, "--data", data, "--cpus", "3", "--memory", "8GiB", "--max-load", "1", "--reach", u.recorder.Port,
	}, args...)
	u.machines = append(u.machines, m)
	u.t.Cleanup(func() {
		if m.Process != nil {
			_ = m.Kill()
		}
		_ = rig.Clean(context.WithoutCancel(u.ctx), m.id) // after a failure
	})
	return m.id
}

// seen is what the API tells of an agent.
type seenAgent struct {
	ID       string
	Version  string
	Draining bool
}

func (u *upgraded) agent(id string) (seenAgent, error) {
	var all struct{ Agents []seenAgent }
	if err := u.client.Call(u.ctx, http.MethodGet, "/agents", nil, &all); err != nil {
		return seenAgent{}, err
	}
	i := slices.IndexFunc(all.Agents, func(a seenAgent) bool { return a.ID == id })
	if i < 0 {
		return seenAgent{}, fmt.Errorf("agent %s is not listed", id)
	}
	return all.Agents[i], nil
}

// ready waits until an agent works as that version.
func (u *upgraded) ready(m *fleetMachine, version string) {
	u.t.Helper()
	require.NoError(u.t, rig.Poll(u.ctx, 2*time.Minute, func() error {
		a, err := u.agent(m.id)
		if err == nil && (a.Version != version || a.Draining) {
			err = fmt.Errorf("it is %+v", a)
		}
		return err
	}))
}

// hold begins a run that ends when the gate "held" is opened.
func (u *upgraded) hold() int64 {
	u.t.Helper()
	var run rig.Run
	require.NoError(u.t, u.client.Call(u.ctx, http.MethodPost, "/jobs/record/runs", map[string]any{"parameters": map[string]string{"GATE": "held"}}, &run))
	require.NoError(u.t, rig.Poll(u.ctx, 2*time.Minute, func() error {
		if !slices.Contains(u.recorder.Words(), "gate/held") {
			return errors.New("the run does not come to its gate")
		}
		return nil
	}))
	return run.ID
}

// runs triggers a run and waits for its end, over and over. Nothing is tried
// again: who is told "not now", or is cut off, has noticed the upgrade.
func (u *upgraded) runs(caller int) error {
	for i := 0; ; i++ {
		select {
		case <-u.stream.over:
			return nil
		default:
		}
		a, err := u.client.Do(u.ctx, http.MethodPost, "/jobs/record/runs", []byte("{}"), fmt.Sprintf("Idempotency-Key: %d/%d", caller, i))
		if err != nil || a.Status != http.StatusCreated {
			return fmt.Errorf("trigger %d of caller %d: %+v %w", i, caller, a, err)
		}
		var id int64
		if _, err := fmt.Sscanf(string(a.Body), `{"id":%d`, &id); err != nil {
			return err
		}
		u.stream.ids <- id
		if err := u.waitFor(id); err != nil {
			return fmt.Errorf("wait for run %d: %w", id, err)
		}
		u.stream.ended.Add(1)
	}
}

// waitFor waits for a run's end. The earlier release is built as it was: a cid
// of it that stops may say that it has given up an answer that it held, where
// those of today say how far the run is. Only that one is asked for again.
func (u *upgraded) waitFor(id int64) error {
	for {
		_, err := u.client.Wait(u.ctx, "record", id, 4*time.Minute)
		if err == nil || !u.stopping.Load() || !strings.Contains(err.Error(), "the request was given up before it was done") {
			return err
		}
	}
}

// more waits until some more runs have ended.
func (u *upgraded) more(when string) {
	u.t.Helper()
	began, before := time.Now(), u.stream.ended.Load()
	require.NoError(u.t, rig.Poll(u.ctx, 5*time.Minute, func() error {
		if n := u.stream.ended.Load() - before; n < between {
			return fmt.Errorf("%s: %d runs have ended", when, n)
		}
		return nil
	}))
	u.t.Logf("%-45s %d runs in %s", when, between, time.Since(began).Round(100*time.Millisecond))
}

// replaceCids does what docs/operations.md says, and in the middle of it takes
// one step back. In the end the new cids are started again, too.
func (u *upgraded) replaceCids() {
	t, old := u.t, u.cids
	t.Helper()
	u.cids[0] = u.add(u.next)
	u.more("an earlier cid beside a new one")
	u.stopping.Store(true)
	require.NoError(t, old[1].Stop(time.Minute))
	require.NoError(t, old[1].Start(u.ctx), "an earlier cid starts on the schema of the new one")
	u.turn(old[1])
	require.NoError(t, old[0].Stop(time.Minute))
	u.more("an earlier cid that was started again")
	u.cids[1] = u.add(u.next)
	u.turn(u.cids[1])
	require.NoError(t, old[1].Stop(time.Minute))
	u.more("new cids, earlier agents")
	u.stopping.Store(false)
	for i, c := range u.cids {
		u.turn(u.cids[1-i]) // callers who have a connection stay, and have answers held when it stops
		require.NoError(t, c.Stop(time.Minute))
		require.NoError(t, c.Start(u.ctx))
	}
	u.more("new cids that were started again")
}

// replaceAgents drains one agent after the other by SIGTERM, and starts the new
// program under its name. The held run ends when its agent is told to.
func (u *upgraded) replaceAgents(held int64) {
	t := u.t
	t.Helper()
	var run struct{ Agent string }
	require.NoError(t, u.client.Call(u.ctx, http.MethodGet, fmt.Sprintf("/jobs/record/runs/%d", held), nil, &run))
	for _, m := range u.machines {
		require.NoError(t, m.Signal(syscall.SIGTERM))
		if m.id == run.Agent {
			require.NoError(t, rig.Poll(u.ctx, time.Minute, func() error {
				a, err := u.agent(m.id)
				if err == nil && !a.Draining {
					err = fmt.Errorf("it does not drain: %+v", a)
				}
				return err
			}))
			require.True(t, m.Alive(), "it waits for the held run")
			u.recorder.Open("held")
			run.Agent = ""
		}
		code, err := m.Wait(3 * time.Minute)
		require.NoError(t, err)
		require.Zero(t, code)
		m.command[0] = u.next.Path("ci-agent")
		require.NoError(t, m.start())
		u.ready(m, "dev")
	}
	require.Empty(t, run.Agent, "nobody had the held run")
}

// still ends the stream and returns its runs.
func (u *upgraded) still() (ids []int64) {
	u.t.Helper()
	close(u.stream.over)
	require.NoError(u.t, u.stream.flow.Wait())
	close(u.stream.ids)
	for id := range u.stream.ids {
		ids = append(ids, id)
	}
	return ids
}

// finish ends the agents, which leave nothing, and asks the database of each run.
func (u *upgraded) finish(runs int) {
	for _, m := range u.machines {
		require.NoError(u.t, m.Stop(time.Minute))
		require.NoError(u.t, rig.Clean(u.ctx, m.id))
	}
	db, err := store.Open(u.ctx, u.database, discard())
	require.NoError(u.t, err)
	defer db.Close()
	onceDone(u.ctx, u.t, db, runs)
}
