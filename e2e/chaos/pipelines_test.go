package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/agentd"
	"ci/agentd/fake"
	"ci/agentd/runner"
	"ci/backend/store"
	"ci/e2e/rig"
	"ci/pkg/api"
	"ci/pkg/ci"
)

const (
	// pipelineKills is how often a cid and a process of pipelines are killed, in turn.
	pipelineKills = 20
	// longestLife is how long what was started lives, at the most, before the next kill.
	// What a child of the pipelines waits for happens at the beginning of such a life,
	// and what follows from it takes about as long.
	longestLife = 700 * time.Millisecond
)

// killedProgram has a loop, a fan-out, a condition on a result and an approval.
// Each run that it triggers has a KEY of its own.
const killedProgram = `
p = params(label = "", broken = False)
for i in range(4):
    all(run("child", params = {"KEY": "%s/prepare/%d" % (p.label, i)}))
fan = all([run("broken" if p.broken and i == 3 else "child", params = {"KEY": "%s/fan/%d" % (p.label, i)}) for i in range(5)], check = False)
package = run("package", params = {"KEY": p.label + "/package"})
version = result(package, "version").text
if version == "2":
    answer = approve("deploy " + p.label + "?")
    print(answer.by, answer.note)
    for i in range(2):
        all(run("child", params = {"KEY": "%s/deploy/%s/%d" % (p.label, version, i)}))
all(fan)
`

// stages are the runs of killedProgram in their order; those of the fan-out share one.
var stages = []string{"prepare/0", "prepare/1", "prepare/2", "prepare/3", "fan", "package", "deploy/2/0", "deploy/2/1"}

// stageOf is the place of a run's KEY in stages.
func stageOf(key string) int {
	_, stage, _ := strings.Cut(key, "/")
	if strings.HasPrefix(stage, "fan/") {
		stage = "fan"
	}
	return slices.Index(stages, stage)
}

// kind is what becomes of one of the pipelines.
type kind struct {
	name            string
	refused, broken bool
	outcome, reason string
	children        int
}

var kinds = []kind{
	{name: "good", outcome: "succeeded", children: 12},
	{name: "refused", refused: true, outcome: "failed", reason: "said no to", children: 10},
	{name: "broken", broken: true, outcome: "failed", reason: "broken/", children: 12},
}

// TestPipelinesSurviveKills runs each kind of pipeline without a kill first. Then
// it runs them in a cid and in a process of pipelines apart, while the two are
// killed in turn, 20 times over the whole life of each pipeline: its runs wait in
// their preparation until their share of kills has happened. The agent lives, and
// plays its containers. Every run is triggered once, what is recorded of each call
// is as without a kill, and nothing is left.
func TestPipelinesSurviveKills(t *testing.T) {
	if testing.Short() {
		t.Skip("starts programs")
	}
	t.Parallel()
	m := newMortal(t)
	m.kills.Store(pipelineKills) // nothing waits
	calm := m.all("calm", m.clients[0])
	m.kills.Store(0)
	began := time.Now()
	var killed [2]map[string]life
	var g errgroup.Group
	g.Go(m.killing)
	for i, c := range m.clients {
		g.Go(func() error {
			killed[i] = m.all([]string{"in-cid", "apart"}[i], c)
			return nil
		})
	}
	require.NoError(t, g.Wait())
	t.Logf("%d pipelines lived through %d kills in %s", len(killed)*len(kinds), m.kills.Load(), time.Since(began).Round(100*time.Millisecond))
	runs := 0
	for _, k := range kinds {
		want := calm[k.name]
		require.Equal(t, k.outcome, want.Outcome, want.Reason)
		require.Contains(t, want.Reason, k.reason)
		require.Len(t, want.Children, k.children)
		for i := range killed {
			require.EqualValues(t, pipelineKills, killed[i][k.name].kills, "%s ended before all kills", k.name)
			got := killed[i][k.name]
			got.kills = want.kills
			require.Equal(t, want, got, "%s of %d", k.name, i)
		}
		runs += k.children * (1 + len(killed))
	}
	m.nothingLeft(runs)
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
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
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
		"child":   {"script": "env KEY"},
		"broken":  {"script": "env KEY; exit 1"},
		"package": {"script": "env KEY; result version 2", "results": map[string]any{"version": map[string]any{"path": "version.txt", "type": "text/plain"}}},
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

// gated is a driver whose containers are made once there were enough kills for them.
type gated struct {
	*fake.Driver
	kills *atomic.Int64
}

// Prepare implements runner.Driver.
func (g gated) Prepare(ctx context.Context, o runner.Order, console io.Writer) (runner.Box, error) {
	for _, v := range o.Env {
		key, ok := strings.CutPrefix(v, "KEY=")
		if !ok {
			continue
		}
		if err := rig.Poll(ctx, 5*time.Minute, func() error { return enough(g.kills, stageOf(key)+1) }); err != nil {
			return nil, err
		}
	}
	return g.Driver.Prepare(ctx, o, console)
}

// enough says whether as many kills as belong before the end of a stage have
// happened; the last one ends after all of them.
func enough(kills *atomic.Int64, stage int) error {
	if want := int64(stage * pipelineKills / len(stages)); kills.Load() < want {
		return fmt.Errorf("there were %d kills of %d", kills.Load(), want)
	}
	return nil
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
		ID: terms.Agent, TTL: terms.Lease, Uplink: uplink, Queue: uplink, Bus: uplink, Driver: gated{m.driver, &m.kills}, Classes: uplink.Classes, Depths: uplink.Depths,
		CPUs: 64, Memory: 256 << 30, Threshold: 1, MinFreeMemory: 1, MinFreeDisk: 1, Dir: m.t.TempDir(), Log: discard(),
	})
	require.NoError(m.t, err)
	ctx, stop := context.WithCancel(m.ctx)
	m.t.Cleanup(stop)
	go func() { m.worked <- m.agent.Run(ctx) }()
}

// killing kills one after the other, at moments that the seed says, and starts it anew.
func (m *mortal) killing() error {
	for n := range pipelineKills {
		pause(time.Duration(m.random.Float64() * float64(longestLife)))
		var err error
		if n%2 == 0 {
			err = m.cid.Kill()
		} else {
			err = m.apart.Kill()
		}
		if err != nil {
			return err
		}
		if n%2 == 0 {
			err = m.cid.Start(m.ctx)
		} else {
			err = m.apart.start(m.ctx)
		}
		if err != nil {
			return err
		}
		m.kills.Add(1)
	}
	return nil
}

// all has pipelines of all kinds run beside each other.
func (m *mortal) all(who string, c *rig.Client) map[string]life {
	var mu sync.Mutex
	lives := map[string]life{}
	var g errgroup.Group
	for _, k := range kinds {
		g.Go(func() error {
			one, err := m.see(who, k, c)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", who, k.name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			lives[k.name] = one
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		m.t.Error(err)
	}
	return lives
}

// see begins a pipeline, answers what it asks and waits for its end. What a kill
// cuts off is tried again.
func (m *mortal) see(who string, k kind, c *rig.Client) (one life, err error) {
	label := who + "-" + k.name
	var run ci.PipelineRun
	body := fmt.Sprintf(`{"parameters":{"label":%q,"broken":"%t"}}`, label, k.broken)
	if err := m.told(c, "/pipelines/release/runs", body, &run, http.StatusCreated, http.StatusOK); err != nil {
		return one, err
	}
	path := fmt.Sprintf("/pipelines/release/runs/%d", run.ID)
	call, err := m.asked(c, path)
	if err != nil {
		return one, err
	}
	if k.refused { // it ends with the answer, so all kills come before
		if err := rig.Poll(m.ctx, 3*time.Minute, func() error { return enough(&m.kills, len(stages)) }); err != nil {
			return one, err
		}
	}
	// A conflict says that the answer came, and that only ours to it was cut off.
	if err := m.told(c, path+"/approvals/"+call, fmt.Sprintf(`{"approved":%t,"note":"as planned"}`, !k.refused), nil, http.StatusOK, http.StatusConflict); err != nil {
		return one, err
	}
	if run, err = m.ended(c, path); err != nil {
		return one, err
	}
	one.kills = m.kills.Load()
	return one, m.record(&one, label, &run)
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
	return call, rig.Poll(m.ctx, 4*time.Minute, func() error {
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
	return run, rig.Poll(m.ctx, 4*time.Minute, func() error {
		if err := c.Call(m.ctx, http.MethodGet, path, nil, &run); err != nil {
			return err
		}
		if !run.Finished() {
			return fmt.Errorf("it is not done: %s", run.Reason)
		}
		return nil
	})
}

// nothingLeft stops all, and asks everybody. There were so many runs.
func (m *mortal) nothingLeft(runs int) {
	t := m.t
	t.Helper()
	for i := range 2 {
		var left struct{ Runs []ci.PipelineRun }
		require.NoError(t, m.clients[i].Call(m.ctx, http.MethodGet, "/pipelines/-/runs?status=in_progress", nil, &left))
		require.Empty(t, left.Runs)
	}
	var all struct{ Runs []keyedRun }
	require.NoError(t, m.clients[0].Call(m.ctx, http.MethodGet, "/runs?pageSize=500", nil, &all))
	require.Len(t, all.Runs, runs)
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
	onceDone(m.ctx, t, db, runs)
}
