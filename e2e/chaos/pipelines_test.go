package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/agentd"
	"ci/agentd/fake"
	"ci/backend/store"
	"ci/e2e/rig"
	"ci/pkg/api"
	"ci/pkg/ci"
)

const (
	killedPipelines = 12
	// pipelineKills is how often a cid, a process of pipelines, or both are killed.
	pipelineKills = 20
	// longestLife is how long what was started lives, at the most, before one of them is killed again.
	longestLife = 1200 * time.Millisecond
)

// killedProgram has a loop, a fan-out, a condition on a result and an approval.
// Each run that it triggers has a KEY of its own.
const killedProgram = `
p = params(label = "", broken = False)
for i in range(2):
    all(run("child", params = {"KEY": "%s/prepare/%d" % (p.label, i)}))
fan = all([run("broken" if p.broken and i == 3 else "child", params = {"KEY": "%s/fan/%d" % (p.label, i)}) for i in range(5)], check = False)
package = run("package", params = {"KEY": p.label + "/package"})
if result(package, "version").text == "2":
    approve("deploy " + p.label + "?")
    all(run("child", params = {"KEY": p.label + "/deploy"}))
all(fan)
`

// ending is what becomes of one of the pipelines.
type ending struct {
	refused, broken bool
	outcome, reason string
}

var endings = []ending{
	{outcome: "succeeded"},
	{refused: true, outcome: "failed", reason: "said no to"},
	{broken: true, outcome: "failed", reason: "broken/"},
}

// TestPipelinesSurviveKills runs pipelines in a cid and in a process of
// pipelines apart, and kills one of the two, or both, at 20 moments. The agent
// lives, and plays its containers. All pipelines end as they should, every run
// that they trigger is triggered once, and nothing is left.
func TestPipelinesSurviveKills(t *testing.T) {
	if testing.Short() {
		t.Skip("starts programs")
	}
	t.Parallel()
	k := newMortal(t)
	began := time.Now()
	var g errgroup.Group
	g.Go(k.killing)
	for i := range killedPipelines {
		g.Go(func() error {
			if err := k.see(i); err != nil {
				return fmt.Errorf("pipeline %d: %w", i, err)
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	t.Logf("%d pipelines and %d kills in %s", killedPipelines, k.kills.Load(), time.Since(began).Round(100*time.Millisecond))
	k.childrenOnce()
	k.nothingLeft()
}

// mortal is a cid, a process of pipelines beside it, and an agent.
type mortal struct {
	ctx    context.Context
	t      *testing.T
	random *rand.Rand
	cid    *rig.Cid
	apart  *apart
	// clients are of the cid's own pipelines, and of those apart.
	clients [2]*rig.Client
	agent   *agentd.Agent
	driver  *fake.Driver
	worked  chan error // the agent's end
	kills   atomic.Int64
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	m := &mortal{ctx: ctx, t: t, random: seeded(t), driver: fake.NewDriver(), worked: make(chan error, 1)}
	bin, err := rig.Build(ctx, t.TempDir())
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "chaos-pipelines-") // kept when the test fails
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the data are left in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	m.cid, err = rig.NewCid(bin, filepath.Join(dir, "cid"), os.Environ(), "--agent", "off")
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := m.cid.End(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	require.NoError(t, m.cid.Start(ctx))
	m.apart = newApart(t, bin, dir, m.cid.URL, m.token("apart", ci.RoleTrigger))
	require.NoError(t, m.apart.start(ctx))
	m.clients = [2]*rig.Client{m.cid.Client(), rig.NewClient(m.apart.url, m.cid.Token)}
	m.work(m.token("played", ci.RoleAgent))
	for name, job := range map[string]map[string]any{
		"child":   {"script": "sleep 20ms"},
		"broken":  {"script": "exit 1"},
		"package": {"script": "result version 2", "results": map[string]any{"version": map[string]any{"path": "version.txt", "type": "text/plain"}}},
	} {
		doc := map[string]any{"freestyle": job, "parameters": []map[string]any{{"name": "KEY", "required": true}}}
		require.NoError(t, m.cid.Client().Call(ctx, http.MethodPut, "/jobs/"+name, doc, nil))
	}
	for i := range 2 {
		require.NoError(t, m.clients[i].Call(ctx, http.MethodPut, "/pipelines/release", map[string]any{"program": killedProgram}, nil))
	}
	return m
}

func (m *mortal) token(name string, role ci.Role) string {
	m.t.Helper()
	var made struct{ Bearer string }
	require.NoError(m.t, m.cid.Client().Call(m.ctx, http.MethodPost, "/tokens", map[string]any{"name": name, "role": role}, &made))
	return made.Bearer
}

// work begins an agent that knows the cid by its address, and plays containers.
func (m *mortal) work(bearer string) {
	m.t.Helper()
	c, err := api.New(api.Config{URL: m.cid.URL, Token: bearer})
	require.NoError(m.t, err)
	uplink := c.Agent()
	terms, err := uplink.Terms(m.ctx)
	require.NoError(m.t, err)
	m.agent, err = agentd.New(agentd.Config{
		ID: terms.Agent, TTL: terms.Lease, Uplink: uplink, Queue: uplink, Bus: uplink, Driver: m.driver, Classes: uplink.Classes, Depths: uplink.Depths,
		CPUs: 16, Memory: 64 << 30, Threshold: 1, MinFreeMemory: 1, MinFreeDisk: 1, Dir: m.t.TempDir(), Log: discard(),
	})
	require.NoError(m.t, err)
	ctx, stop := context.WithCancel(m.ctx)
	m.t.Cleanup(stop)
	go func() { m.worked <- m.agent.Run(ctx) }()
}

// killing kills, again and again, whatever the seed says, and starts it anew.
func (m *mortal) killing() error {
	for range pipelineKills {
		pause(time.Duration(m.random.Float64() * float64(longestLife)))
		whom := m.random.IntN(3) // the cid, what is apart, or both
		if whom != 1 {
			if err := m.cid.Kill(); err != nil {
				return err
			}
		}
		if whom != 0 {
			if err := m.apart.Kill(); err != nil {
				return err
			}
			if err := m.apart.start(m.ctx); err != nil {
				return err
			}
		}
		if whom != 1 {
			if err := m.cid.Start(m.ctx); err != nil {
				return err
			}
		}
		m.kills.Add(1)
	}
	return nil
}

func label(i int) string { return fmt.Sprint("p", i) }

// see begins a pipeline once there were its share of kills, answers what it
// asks and waits for its end. What a kill cuts off is tried again.
func (m *mortal) see(i int) error {
	if err := rig.Poll(m.ctx, 3*time.Minute, func() error {
		if want := int64(i * pipelineKills / killedPipelines); m.kills.Load() < want {
			return fmt.Errorf("there were %d kills of %d", m.kills.Load(), want)
		}
		return nil
	}); err != nil {
		return err
	}
	e, c := endings[i%len(endings)], m.clients[i%2]
	var run ci.PipelineRun
	body := fmt.Sprintf(`{"parameters":{"label":%q,"broken":"%t"}}`, label(i), e.broken)
	if err := m.told(c, "/pipelines/release/runs", body, &run, http.StatusCreated, http.StatusOK); err != nil {
		return err
	}
	path := fmt.Sprintf("/pipelines/release/runs/%d", run.ID)
	call, err := m.asked(c, path)
	if err != nil {
		return err
	}
	// A conflict says that the answer came, and that only ours to it was cut off.
	if err := m.told(c, path+"/approvals/"+call, fmt.Sprintf(`{"approved":%t}`, !e.refused), nil, http.StatusOK, http.StatusConflict); err != nil {
		return err
	}
	if run, err = m.ended(c, path); err != nil {
		return err
	}
	if string(run.Outcome) != e.outcome || !strings.Contains(run.Reason, e.reason) {
		return fmt.Errorf("it is %s (%s), and should be %s (%s)", run.Outcome, run.Reason, e.outcome, e.reason)
	}
	return nil
}

// told posts until one of those answers comes.
func (m *mortal) told(c *rig.Client, path, body string, out any, fine ...int) error {
	return rig.Poll(m.ctx, 2*time.Minute, func() error {
		a, err := c.Do(m.ctx, http.MethodPost, path, []byte(body), "Idempotency-Key: "+body)
		if err != nil {
			return err
		}
		if a.Status != fine[0] && a.Status != fine[1] {
			return fmt.Errorf("POST %s: %d: %s", path, a.Status, a.Body)
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal(a.Body, out)
	})
}

// asked waits for the pipeline's question, and returns its call.
func (m *mortal) asked(c *rig.Client, path string) (call string, err error) {
	return call, rig.Poll(m.ctx, 2*time.Minute, func() error {
		var run ci.PipelineRun
		if err := c.Call(m.ctx, http.MethodGet, path, nil, &run); err != nil {
			return err
		}
		for _, made := range run.Calls {
			if made.Kind == ci.CallApprove {
				call = made.ID
				return nil
			}
		}
		return fmt.Errorf("it asks nothing yet: %s: %s", run.Status, run.Reason)
	})
}

func (m *mortal) ended(c *rig.Client, path string) (run ci.PipelineRun, err error) {
	return run, rig.Poll(m.ctx, 2*time.Minute, func() error {
		if err := c.Call(m.ctx, http.MethodGet, path, nil, &run); err != nil {
			return err
		}
		if !run.Finished() {
			return fmt.Errorf("it is not done: %s", run.Reason)
		}
		return nil
	})
}

// childrenOnce compares the runs that there are with those that should be.
func (m *mortal) childrenOnce() {
	t := m.t
	t.Helper()
	want := map[string]string{}
	for i := range killedPipelines {
		e := endings[i%len(endings)]
		for _, key := range []string{"prepare/0", "prepare/1", "fan/0", "fan/1", "fan/2", "fan/3", "fan/4", "package", "deploy"} {
			want[label(i)+"/"+key] = "succeeded"
		}
		if e.broken {
			want[label(i)+"/fan/3"] = "failed"
		}
		if e.refused {
			delete(want, label(i)+"/deploy")
		}
	}
	var all struct {
		Runs []struct {
			rig.Run
			Parameters map[string]string
		}
	}
	require.NoError(t, m.clients[0].Call(m.ctx, http.MethodGet, "/runs?pageSize=500", nil, &all))
	got := map[string]string{}
	for _, run := range all.Runs {
		key := run.Parameters["KEY"]
		require.NotContains(t, got, key, "it was triggered twice")
		got[key] = run.Outcome
	}
	require.Equal(t, want, got)
}

// nothingLeft stops all, and asks everybody.
func (m *mortal) nothingLeft() {
	t := m.t
	t.Helper()
	for i := range 2 {
		var left struct{ Runs []ci.PipelineRun }
		require.NoError(t, m.clients[i].Call(m.ctx, http.MethodGet, "/pipelines/-/runs?status=in_progress", nil, &left))
		require.Empty(t, left.Runs)
	}
	m.agent.Drain()
	if err := <-m.worked; !errors.Is(err, context.Canceled) {
		require.NoError(t, err)
	}
	require.Empty(t, m.driver.Boxes())
	require.NoError(t, m.apart.Stop(time.Minute))
	require.NoError(t, m.cid.Stop(time.Minute))
	db, err := store.Open(m.ctx, "sqlite:"+filepath.Join(m.cid.Data, "ci.db"), discard())
	require.NoError(t, err)
	defer db.Close()
	onceDone(m.ctx, t, db, killedPipelines*8)
}

// apart is `cid pipelines`, which may be killed and started.
type apart struct {
	*rig.Process
	url, log, path string
	args           []string
}

func newApart(t *testing.T, bin rig.Binaries, dir, url, token string) *apart {
	t.Helper()
	addr, err := rig.FreeAddr()
	require.NoError(t, err)
	file := filepath.Join(dir, "apart.token")
	require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
	a := &apart{url: "http://" + addr, log: filepath.Join(dir, "apart.log"), path: bin.Path("cid")}
	a.args = []string{"pipelines", "--url", url, "--token-file", file, "--data", filepath.Join(dir, "apart"), "--listen", addr, "--log-level", "debug"}
	t.Cleanup(func() {
		if a.Process != nil {
			_ = a.Kill()
		}
	})
	return a
}

// start starts it and waits until it answers.
func (a *apart) start(ctx context.Context) (err error) {
	if a.Process, err = rig.Launch(a.log, a.path, os.Environ(), a.args...); err != nil {
		return err
	}
	return rig.Poll(ctx, time.Minute, func() error { return rig.Answers(a.url + "/readyz") })
}
