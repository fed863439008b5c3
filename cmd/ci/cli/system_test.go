package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.agents = []ci.Agent{
		{ID: "a", Version: "v1", CPUs: 4, FreeCPUs: 1.5, Memory: 8 << 30, FreeMemory: 1 << 30, Runs: []int64{3, 5}, SeenAt: noon.Add(-2 * time.Second)},
		{ID: "b", Draining: true, SeenAt: noon, Refusals: map[string]string{"large": "too few cores"}, Leftovers: 2},
		{ID: "c", SeenAt: noon.Add(-time.Hour)},
		{ID: "d", Problem: "Docker does not answer", SeenAt: noon},
		{ID: "e", SeenAt: noon, Warnings: []string{"no quota of disk", "runc is old"}},
	}
	w.documents["/agents"] = `{"agents":[{"id":"d"},{"id":"e","warnings":["no quota of disk"]}]}`
	out := w.run("agent", "ls").out
	require.Contains(t, out, "a\tready\t3,5\t4\t1.5\t8589934592\t1073741824\t2026-03-01T11:59:58Z\tv1\t\n")
	require.Contains(t, out, "b\tdraining\t")
	require.Contains(t, out, "large: too few cores; 2 leftovers of ended runs")
	require.Contains(t, out, "c\taway\t")
	require.Contains(t, out, "d\tunable\t")
	require.Contains(t, out, "its engine does not enforce all (2 warnings: ci agent show e)")
	shown := w.run("agent", "show", "b").out
	require.Contains(t, shown, "refuses   large: too few cores\n")
	require.Contains(t, w.run("agent", "show", "e").out, "warning   no quota of disk\nwarning   runc is old\n")
	got := w.run("agent", "show", "e", "--json")
	require.JSONEq(t, `{"id":"e","warnings":["no quota of disk"]}`, got.out, got.err)
	require.Equal(t, exitNotFound, w.run("agent", "show", "nobody").code)
	require.Equal(t, 0, w.run("agent", "drain", "a", "--reason", "disk", "--deadline", "1h").code)
	require.Equal(t, &ci.Drain{Reason: "disk", Deadline: noon.Add(time.Hour), Then: ci.DrainAbort}, w.client.drained["a"])
	require.Equal(t, 2, w.run("agent", "drain", "a", "--then", "nothing").code)
	require.Equal(t, 0, w.run("agent", "drain", "b", "--then", "wait", "--wait").code)
	require.Equal(t, 0, w.run("agent", "undrain", "a").code)
	require.Nil(t, w.client.drained["a"])
}

func TestQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = states(doneRun(7, ci.OutcomeSucceeded, 0))[:2]
	w.client.queues = []ci.QueueDepth{{Lane: ci.Lane{Class: "small", Priority: ci.PriorityUrgent}, Queued: 2, Oldest: noon.Add(-time.Minute)}}
	require.Equal(t, "small\turgent\t2\t2026-03-01T11:59:00Z\n", w.run("queue").out)
	w.client.report = ci.QueueReport{Phase: ci.PhaseQueued, Position: 3, Class: "small", Priority: ci.PriorityNormal, Reason: "all agents are busy", Agents: []ci.AgentVerdict{{Agent: "a", Reason: "full"}, {Agent: "b", Eligible: true}}}
	require.Equal(t, "*\t3\tall agents are busy\na\trefuses\tfull\nb\teligible\t\n", w.run("queue", "unit", "7").out)
	require.Equal(t, "unit/7 all agents are busy\n3 ahead of it in class small, priority normal\nAGENT  VERDICT   REASON\na      refuses   full\nb      eligible\n", w.terminal().run("why", "unit/7").out)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Contains(t, w.run("config", "get").out, "globalTimeout\t1h0m0s\n")
	require.Equal(t, "small:1:2147483648,medium:2:4294967296,large:4:8589934592\n", w.run("config", "get", "classes").out)
	require.Equal(t, `{"retention":"0s"}`+"\n", w.run("config", "get", "retention", "--json").out)
	got := w.run("config", "set", "globalTimeout=2h", "maxResultFiles=5", "classes=a:0.5:100,b:1:200")
	require.Equal(t, 0, got.code, got.err)
	require.Contains(t, got.out, "globalTimeout\t2h0m0s\n")
	require.Equal(t, []ci.Quota{{Name: "a", CPUs: 0.5, Memory: 100}, {Name: "b", CPUs: 1, Memory: 200}}, w.client.config.Classes)
	require.Equal(t, exitUsage, w.run("config", "set", "classes=a:1").code)
	require.Equal(t, exitUsage, w.run("config", "set", "classes=b:2:2,a:1:1").code)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.run("token", "create", "bot", "--role", "trigger", "--job", "unit", "--expires", "24h")
	require.Equal(t, "abc.def.ghi\n", got.out, "the token alone goes to the pipe")
	require.Contains(t, got.err, "Token bot (trigger), id id-1.")
	require.Equal(t, "id-1\tbot\ttrigger\tunit\tvalid\t\t2026-03-02T12:00:00Z\t\n", w.run("token", "ls").out)
	require.Equal(t, "abc.def.ghi\n", w.run("token", "create", "b2", "--role", "read", "--jq", ".bearer").out)
	require.Equal(t, 0, w.run("token", "revoke", "bot").code)
	require.Contains(t, w.run("token", "ls").out, "revoked")
	require.Equal(t, exitNotFound, w.run("token", "revoke", "nope").code)
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.events = []ci.Event{
		{Seq: 1, Type: ci.EventRunTriggered, Run: 7, Job: "unit", Phase: ci.PhasePlanning, At: noon},
		{Seq: 2, Type: ci.EventRunDone, Run: 8, Job: "other", Phase: ci.PhaseRunning, Outcome: ci.OutcomeFailed, At: noon},
	}
	require.Equal(t, "1\t2026-03-01T12:00:00Z\trun.triggered\t7\tunit\tplanning\t\n", w.run("events", "--job", "unit").out)
	require.Equal(t, `{"seq":2,"type":"run.done","run":8,"job":"other","phase":"running","outcome":"failed","at":"2026-03-01T12:00:00Z"}`+"\n", w.run("events", "--after", "1", "--json").out)
	require.Equal(t, "7\n8\n", w.run("events", "--jq", ".run").out)
}

func TestAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.documents["/config"] = `{"a": 1}`
	require.Equal(t, said{0, `{"a":1}` + "\n", ""}, w.run("api", "get", "/config"))
	require.Equal(t, "1\n", w.run("api", "GET", "/config", "--jq", ".a").out)
	require.Equal(t, exitNotFound, w.run("api", "DELETE", "/nope").code)
}

func TestAbort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = states(doneRun(7, ci.OutcomeSucceeded, 0))[:3]
	got := w.run("abort", "unit", "7", "--wait")
	require.Equal(t, 0, got.code, got.err)
	require.Contains(t, got.out, "7\tunit\tdone\tcollecting\taborted")
	got = w.run("abort", "unit", "7")
	require.Equal(t, exitOther, got.code, "it is done")
	require.Equal(t, exitNotFound, w.run("abort", "unit", "99").code)
}

func TestShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := doneRun(7, ci.OutcomeSucceeded, 0)
	r.Parameters = map[string]string{"B": "2", "A": "1"}
	w.client.runs[7] = []ci.Run{r}
	w.client.results = []ci.Result{{Name: "junit", Size: 2048, ContentType: "application/zip"}}
	out := w.run("show", "unit", "@latest").out
	require.Contains(t, out, "run\tunit/7\nstate\tsucceeded\n")
	require.Contains(t, out, "exit code\t0\n")
	require.Contains(t, out, "parameter A\t1\nparameter B\t2\nresult junit\t2KiB, application/zip\n")
	require.Contains(t, w.terminal().run("show", "unit/7").out, "run:             unit/7\n")
	require.Equal(t, exitNotFound, w.run("show", "nope", "@latest").code)
	require.Equal(t, exitNotFound, w.run("show", "unit", "99").code)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Contains(t, w.run().out, "Trigger runs")
	require.Contains(t, w.run("help", "exit-codes").out, "6    not found")
	require.Equal(t, "v1\n", w.run("version").out)
	require.Equal(t, "ci version v1\n", w.run("--version").out)
	require.Contains(t, w.run("completion", "bash").out, "__start_ci")
	w.client.jobs = map[string]ci.Job{"unit": {Name: "unit"}, "up": {Name: "up"}, hostile: {Name: hostile}}
	for _, line := range []string{"run", "job show", "job rm", "job rm up", "ls", "watch --job"} {
		require.Equal(t, "unit\nup\n:4\n", w.run(append(append([]string{"__complete"}, strings.Fields(line)...), "u")...).out, line)
	}
	// Every verb explains itself, and no two of a family share a name.
	root := newRoot(&app{IOStreams: IOStreams{Now: time.Now}})
	for _, c := range append(root.Commands(), root) {
		require.NotEmpty(t, c.Short, c.Name())
		names := map[string]bool{}
		for _, child := range c.Commands() {
			require.NotEmpty(t, child.Short, child.CommandPath())
			for _, n := range append(child.Aliases, child.Name()) {
				require.False(t, names[n], "%s %s is there twice", c.Name(), n)
				names[n] = true
			}
		}
	}
}

func TestInterruptedVerbIsQuiet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w.ctx = ctx
	w.client.err = ci.Errorf(ci.CodeUnavailable, "given up")
	require.Equal(t, said{exitDetached, "", ""}, w.run("job", "ls"))
}

func TestColour(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env  string
		tty  bool
		want bool
	}{
		"terminal": {"", true, true}, "pipe": {"", false, false}, "NO_COLOR": {"NO_COLOR=1", true, false}, "forced": {"CLICOLOR_FORCE=1", false, true},
		"not forced": {"CLICOLOR_FORCE=0", false, false}, "dumb": {"TERM=dumb", true, false}, "off": {"CLICOLOR=0", true, false},
	} {
		k, v, _ := strings.Cut(tt.env, "=")
		require.Equal(t, tt.want, wantsColor(func(n string) string {
			if n == k {
				return v
			}
			return ""
		}, tt.tty), name)
	}
}
