package chaos

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
)

// fenceLease is the lease of the fenced agent: short, so that the test is.
const fenceLease = 12 * time.Second

// heldScript tells that it has begun, and goes on until somebody ends it or
// opens its gate. It prints all the while.
const heldScript = `
git ls-remote "$RECORDER/begun/$CI_RUN_ID" 2>/dev/null || true
(while :; do echo tick; sleep 0.2; done) &
git ls-remote "$RECORDER/gate/$CI_RUN_ID" 2>/dev/null || true
git ls-remote "$RECORDER/ended/$CI_RUN_ID" 2>/dev/null || true
`

// fenced is a cid, a Postgres and a NATS server on this machine, and an agent
// in a network of its own whose ways to each can be cut.
type fenced struct {
	ctx      context.Context
	t        *testing.T
	cid      *rig.Cid
	client   *rig.Client
	docker   *rig.Docker
	recorder *rig.Recorder
	net      *rig.Netns
	proxy    *rig.Proxy // the way to the database
	database int        // its port
	queue    int
	agent    *rig.Process
	agentID  string
}

// TestFence has a real agent cut off from its database, from its queue, and
// frozen (R15, R16, R18): it ends its runs before anybody calls them lost, no
// run begins twice, and what it says too late changes nothing.
func TestFence(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	f := newFenced(ctx, t)
	for _, part := range []struct {
		name string
		run  func(*fenced)
	}{
		{"the queue is away", (*fenced).withoutQueue},
		{"the database is away", (*fenced).withoutDatabase},
		{"the agent is frozen", (*fenced).frozen},
		{"it is told to end with all away", (*fenced).endsAlone},
	} {
		began := time.Now()
		part.run(f)
		t.Logf("%s: %s", part.name, time.Since(began).Round(100*time.Millisecond))
	}
	seen := map[string]int{}
	for _, word := range f.recorder.Words() {
		if seen[word]++; strings.HasPrefix(word, "begun/") {
			require.Equal(t, 1, seen[word], "a run began twice: %s", word)
		}
	}
}

func newFenced(ctx context.Context, t *testing.T) *fenced {
	t.Helper()
	f := &fenced{ctx: ctx, t: t, agentID: "e2e-" + rig.Random()}
	bin, err := rig.Build(ctx, t.TempDir())
	require.NoError(t, err)
	f.docker, err = rig.OpenDocker()
	require.NoError(t, err)
	f.recorder, err = rig.NewRecorder()
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.recorder.Close() })
	f.net, err = rig.NewNetns(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.net.Close()) })

	pg := postgres.Start(t)
	direct := pg.Database(t)
	f.proxy, err = rig.NewProxy(f.net.Host, "unix", pg.Socket(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.proxy.Close() })
	f.database = port(t, f.proxy.Addr)
	broker, err := server.NewServer(&server.Options{Host: f.net.Host, Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, SyncAlways: true})
	require.NoError(t, err)
	broker.Start()
	t.Cleanup(func() { broker.Shutdown(); broker.WaitForShutdown() })
	require.True(t, broker.ReadyForConnections(time.Minute))
	queue, err := rig.NewProxy(f.net.Host, "tcp", strings.TrimPrefix(broker.ClientURL(), "nats://"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = queue.Close() })
	f.queue = port(t, queue.Addr)
	f.net.Through(f.database, f.proxy)
	f.net.Through(f.queue, queue)

	dir, err := os.MkdirTemp("", "chaos-fence-") // kept when the test fails
	require.NoError(t, err)
	shared := []string{"--blobs", "file:" + filepath.Join(dir, "blobs"), "--lease", fenceLease.String()}
	f.cid, err = rig.NewCid(bin, filepath.Join(dir, "cid"), os.Environ(), append(shared, "--queue", broker.ClientURL(), "--agent", "off", "--database", direct)...)
	require.NoError(t, err)
	require.NoError(t, f.cid.Start(ctx))
	f.client = f.cid.Client()
	name := direct[strings.LastIndex(direct, "/")+1 : strings.Index(direct, "?")]
	args := append(f.net.Command(), append([]string{
		bin.Path("ci-agent"), "--id", f.agentID, "--data", filepath.Join(dir, "agent"), "--cpus", "4", "--memory", "8GiB", "--max-load", "1",
		"--reach", f.recorder.Port, "--url", f.cid.URL, "--queue", "nats://" + queue.Addr, "--database", fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", f.proxy.Addr, name),
	}, shared...)...)
	f.agent, err = rig.Launch(filepath.Join(dir, "agent.log"), args[0], os.Environ(), args[1:]...)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = f.agent.Kill()
		_ = rig.Clean(context.WithoutCancel(ctx), f.agentID) // a killed agent leaves what it has
		if err := f.cid.End(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the data are left in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	job := map[string]any{
		"freestyle":  map[string]any{"script": heldScript},
		"parameters": []map[string]any{{"name": "RECORDER", "default": f.recorder.URL}},
	}
	require.NoError(t, f.client.Call(ctx, "PUT", "/jobs/held", job, nil))
	return f
}

func port(t *testing.T, addr string) int {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	n, err := strconv.Atoi(p)
	require.NoError(t, err)
	return n
}

// begun triggers a run and waits until its script says that it has begun.
func (f *fenced) begun() int64 {
	f.t.Helper()
	r, err := f.client.Trigger(f.ctx, "held")
	require.NoError(f.t, err)
	f.told(fmt.Sprintf("begun/%d", r.ID))
	return r.ID
}

func (f *fenced) told(word string) {
	f.t.Helper()
	require.NoError(f.t, rig.Poll(f.ctx, 2*time.Minute, func() error {
		for _, w := range f.recorder.Words() {
			if w == word {
				return nil
			}
		}
		return fmt.Errorf("nobody has said %s", word)
	}))
}

// done waits for a run's end.
func (f *fenced) done(id int64, outcome string) rig.Run {
	f.t.Helper()
	r, err := f.client.Wait(f.ctx, "held", id, 2*time.Minute)
	require.NoError(f.t, err)
	require.Equal(f.t, outcome, r.Outcome, "run %d: %s", id, r.Reason)
	return r
}

// gone waits until no container of a run is there, and says when that was.
func (f *fenced) gone(id int64) time.Time {
	f.t.Helper()
	require.NoError(f.t, rig.Poll(f.ctx, 2*time.Minute, func() error {
		left, err := f.docker.Objects(f.ctx, "ci.agent="+f.agentID, fmt.Sprintf("ci.run=%d", id))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("of run %d there are %v", id, left)
		}
		return err
	}))
	return time.Now()
}

// stopped waits until no container of a run runs, whether or not the engine has
// got round to removing it, and says when that was.
func (f *fenced) stopped(id int64) time.Time {
	f.t.Helper()
	require.NoError(f.t, rig.Poll(f.ctx, 2*time.Minute, func() error {
		n, err := f.docker.Running(f.ctx, "ci.agent="+f.agentID, fmt.Sprintf("ci.run=%d", id))
		if err == nil && n > 0 {
			err = fmt.Errorf("of run %d %d containers run", id, n)
		}
		return err
	}))
	return time.Now()
}

// doneAt is when a run was done, by the database's clock, which is this machine's.
func (f *fenced) doneAt(id int64) time.Time {
	f.t.Helper()
	var doc struct{ Times struct{ Done time.Time } }
	require.NoError(f.t, f.client.Call(f.ctx, http.MethodGet, fmt.Sprintf("/jobs/held/runs/%d", id), nil, &doc))
	return doc.Times.Done
}

// withoutQueue cuts the agent off from the broker alone. What it runs goes on:
// its console is followed, though nobody announces it; its end is recorded; an
// abort comes with the renewal of the lease. What is new waits.
func (f *fenced) withoutQueue() {
	a, b := f.begun(), f.begun()
	console := f.follow(a)
	defer console.Body.Close()
	lines := bufio.NewScanner(console.Body)
	require.True(f.t, lines.Scan(), "the console before the cut")
	require.NoError(f.t, f.net.Cut(f.ctx, f.queue))
	cut := time.Now()
	waiting, err := f.client.Trigger(f.ctx, "held")
	require.NoError(f.t, err)
	require.NoError(f.t, f.client.Call(f.ctx, http.MethodPost, fmt.Sprintf("/jobs/held/runs/%d/abort", b), nil, nil))
	for n := 0; n < 20; n++ { // four seconds of what the script prints, all after the cut
		require.True(f.t, lines.Scan(), "the console after the cut")
	}
	f.done(b, "aborted")
	require.Less(f.t, time.Since(cut), fenceLease+30*time.Second, "the renewal brought the abort")
	f.gone(b)
	f.recorder.Open(fmt.Sprint(a))
	f.done(a, "succeeded")
	r, err := f.client.Get(f.ctx, "held", waiting.ID)
	require.NoError(f.t, err)
	require.Equal(f.t, "queued", r.Phase)
	require.NoError(f.t, f.net.Mend(f.ctx, f.queue))
	f.told(fmt.Sprintf("begun/%d", waiting.ID))
	f.recorder.Open(fmt.Sprint(waiting.ID))
	f.done(waiting.ID, "succeeded")
}

func (f *fenced) follow(id int64) *http.Response {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, fmt.Sprintf("%s/jobs/held/runs/%d/results/console?follow=1", f.cid.URL, id), nil)
	require.NoError(f.t, err)
	req.Header.Set("Authorization", "Bearer "+f.cid.Token)
	r, err := http.DefaultClient.Do(req)
	require.NoError(f.t, err)
	require.Equal(f.t, http.StatusOK, r.StatusCode)
	return r
}

// withoutDatabase cuts the agent off from the database alone: nothing fails,
// everything hangs. It kills its run before its lease is over, so that "lost"
// means "not running any more".
func (f *fenced) withoutDatabase() {
	id := f.begun()
	require.NoError(f.t, f.net.Cut(f.ctx, f.database))
	stopped := f.stopped(id)
	f.done(id, "lost")
	lost := f.doneAt(id)
	require.True(f.t, stopped.Before(lost), "its container ran until %s, and it was called lost at %s", stopped, lost)
	f.t.Logf("its containers had stopped %s before it was called lost", lost.Sub(stopped).Round(time.Millisecond))
	f.gone(id)
	next, err := f.client.Trigger(f.ctx, "held")
	require.NoError(f.t, err)
	require.NoError(f.t, f.net.Mend(f.ctx, f.database))
	f.told(fmt.Sprintf("begun/%d", next.ID))
	f.recorder.Open(fmt.Sprint(next.ID))
	f.done(next.ID, "succeeded")
}

// frozen stops the agent's process for longer than its lease. Its run is lost
// meanwhile. When it wakes it kills the container, and what it sends is refused.
func (f *fenced) frozen() {
	id := f.begun()
	require.NoError(f.t, f.agent.Signal(syscall.SIGSTOP))
	lost := f.done(id, "lost")
	require.True(f.t, lost.ScriptStarted)
	left, err := f.docker.Objects(f.ctx, "ci.agent="+f.agentID, fmt.Sprintf("ci.run=%d", id))
	require.NoError(f.t, err)
	require.NotEmpty(f.t, left, "a frozen agent can't have removed it")
	require.NoError(f.t, f.agent.Signal(syscall.SIGCONT))
	woken := time.Now()
	f.gone(id)
	f.t.Logf("its containers were gone %s after it woke", time.Since(woken).Round(time.Millisecond))
	next := f.begun() // it works again, and has had time to say everything
	f.recorder.Open(fmt.Sprint(next))
	f.done(next, "succeeded")
	after, err := f.client.Get(f.ctx, "held", id)
	require.NoError(f.t, err)
	require.Equal(f.t, lost, after, "something late changed it")
	a, err := f.client.Do(f.ctx, http.MethodGet, fmt.Sprintf("/jobs/held/runs/%d/results/console", id), nil)
	require.NoError(f.t, err)
	require.Len(f.t, a.Body, int(lost.Console.Bytes), "its console grew")
}

// endsAlone tells the agent to end when it reaches nobody: it kills what it
// can't hold, leaves nothing, and ends with status 0 in time.
func (f *fenced) endsAlone() {
	id := f.begun()
	require.NoError(f.t, f.net.Cut(f.ctx, f.database))
	require.NoError(f.t, f.net.Cut(f.ctx, f.queue))
	began := time.Now()
	require.NoError(f.t, f.agent.Signal(syscall.SIGTERM))
	code, err := f.agent.Wait(90 * time.Second)
	require.NoError(f.t, err, "it gives up after a minute")
	require.Zero(f.t, code)
	f.t.Logf("it ended %s after SIGTERM", time.Since(began).Round(time.Millisecond))
	f.done(id, "lost")
	require.NoError(f.t, rig.Clean(f.ctx, f.agentID))
}
