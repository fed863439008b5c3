package cli

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// The fields that can be chosen are all that the API has.
func TestFieldsAreTheAPIs(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../../backend/rest/openapi.yaml")
	require.NoError(t, err)
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `yaml:"properties"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	require.NoError(t, yaml.Unmarshal(data, &document))
	for name, fields := range map[string][]string{
		"Run": runFields, "Job": jobFields, "Agent": agentFields, "Queue": queueFields, "Result": resultFields, "Config": configFields, "RetentionPlan": planFields, "Pin": pinFields,
		"Token": tokenFields, "Secret": secretFields, "Registry": registryFields, "SSHKey": sshKeyFields, "Forge": forgeFields, "EventTrigger": eventTriggerFields,
	} {
		require.ElementsMatch(t, sortedKeys(document.Components.Schemas[name].Properties), fields, name)
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.documents["/runs?pageSize=30"] = `{"runs":[{"id":8,"job":"unit","outcome":"failed"},{"id":7,"job":"unit"}]}`
	w.documents["/jobs/unit/runs/7"] = `{"id":7,"job":"unit","parameters":{"A":"x\u0007"}}`
	w.client.runs[7] = states(doneRun(7, ci.OutcomeSucceeded, 0))
	for line, want := range map[string]string{
		"ls --json id,outcome":                    `{"runs":[{"id":8,"outcome":"failed"},{"id":7,"outcome":null}]}`,
		"ls --json=outcome":                       `{"runs":[{"outcome":"failed"},{"outcome":null}]}`,
		"ls --json id":                            `{"runs":[{"id":8},{"id":7}]}`,
		"ls --json id --jq .runs[].id":            "8\n7",
		"ls --jq .runs[0].job":                    "unit",
		"show unit 7 --json job,id":               `{"job":"unit","id":7}`,
		"show --json job unit 7":                  `{"job":"unit"}`,
		"show unit/7 --template {{.id}}-{{.job}}": "7-unit",
	} {
		got := w.run(strings.Fields(line)...)
		require.Equal(t, said{0, want + "\n", ""}, got, line)
	}
	require.Equal(t, strings.Join(runFields, "\n")+"\n", w.run("ls", "--json", "").out)
	require.Equal(t, strings.Join(runFields, "\n")+"\n", w.run("show", "--json=", "unit/7").out)
	// A word that is no field is an argument.
	w.documents["/jobs/unit/runs?pageSize=30"] = `{"runs":[]}`
	require.Contains(t, w.run("ls", "--json", "unit").out, `"runs":[]`)
	got := w.terminal().run("show", "unit/7", "--template", "{{range $k, $v := .parameters}}{{$k}}\t{{$v}}{{end}}")
	require.Equal(t, "A\tx\\x07\n", got.out)
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = states(doneRun(7, ci.OutcomeFailed, 1))
	w.documents["/jobs/unit/runs/7"] = "{\"id\":7,\n \"job\":\"unit\"}"
	got := w.run("watch", "unit/7", "--ndjson")
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, strings.Repeat(`{"id":7,"job":"unit"}`+"\n", 3), got.out, "planned, started, done")
	w.client.bytes["console"] = "one\n\xff\x1b[2J" + strings.Repeat("x", maxLine+10) + "\nend"
	lines := strings.Split(strings.TrimSpace(w.run("logs", "unit/7", "--ndjson").out), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, `{"offset":0,"text":"one"}`, lines[0])
	require.Contains(t, lines[1], `{"offset":4,"text":"�\u001b[2Jxxx`)
	require.Contains(t, lines[1], `"continues":true}`)
	require.Contains(t, lines[2], `{"offset":65540,"text":"xxx`)
	require.Contains(t, lines[3], `"text":"end"}`)
	require.Equal(t, "one\n", w.run("logs", "unit/7", "--ndjson", "--jq", "select(.offset == 0).text").out)
}

func TestTimestamps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = states(doneRun(7, ci.OutcomeFailed, 1))
	w.client.bytes["console"] = "one\ntwo\nthree\x1b[2J\nend"
	require.Equal(t, "2026-03-01T12:00:00Z\tone\n2026-03-01T12:00:00Z\ttwo\n2026-03-01T12:00:01Z\tthree\x1b[2J\n2026-03-01T12:00:02Z\tend", w.run("logs", "unit/7", "--timestamps").out)
	require.Equal(t, 1, w.client.timesAsked, "not for each line")
	require.Equal(t, "2026-03-01T12:00:01Z\n", w.run("logs", "unit/7", "-t", "--ndjson", "--jq", `select(.offset == 8).at`).out)
	require.Equal(t, "12:00:01 three^[[2J\n12:00:02 end", w.terminal().run("logs", "unit/7", "-t", "--offset", "8").out)
}

func TestFailingTestsAreShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = states(doneRun(7, ci.OutcomeFailed, 1))
	report := `<testsuite name="s"><testcase name="fine"/>`
	for _, name := range []string{"first", "second", "third", "fourth"} {
		report += `<testcase classname="c" name="` + name + `"><failure message="want 1&#27;]0;x">line&#10;more</failure></testcase>`
	}
	w.client.bytes["junit"] = strings.ReplaceAll(report, "&#27;", "&#xfffd;") + `</testsuite>`
	w.client.results = []ci.Result{{Name: "coverage", Size: 5}, {Name: "junit", ContentType: "application/xml", Size: 10}}
	got := w.run("run", "unit", "--wait")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "failed s › c › first\n    want 1")
	require.Contains(t, got.err, "s › c › third")
	require.NotContains(t, got.err, "fourth")
	require.Contains(t, got.err, "1 more failed. All that failed: ci tests unit/7 --failed\n")

	out := w.run("tests", "unit/7").out
	require.Equal(t, 5, strings.Count(out, "\n"))
	require.True(t, strings.HasSuffix(out, "passed\ts\t\tfine\t0.000\t\n"), "those that failed come first: %s", out)
	require.Equal(t, 4, strings.Count(w.run("tests", "unit/7", "--failed").out, "\n"))
	require.Equal(t, 4, strings.Count(w.run("result", "tests", "unit/7").out, "\n"))
	require.Equal(t, "4\n", w.run("tests", "unit/7", "--jq", ".failed").out)
	require.Contains(t, w.terminal().run("tests", "unit/7", "--failed").out, "    want 1")
}

// The second interrupt within the time aborts; none leaves the run alone.
func TestSecondInterruptAborts(t *testing.T) {
	t.Parallel()
	for _, twice := range []bool{true, false} {
		w := newWorld(t).terminal()
		w.linger = 10 * time.Millisecond
		w.client.runs[7] = states(doneRun(7, ci.OutcomeSucceeded, 0))[:3]
		ctx, interrupt := context.WithCancel(context.Background())
		w.ctx = ctx
		w.client.bytes["console"] = "x\n"
		w.client.onConsole = interrupt
		if twice {
			gone, cancel := context.WithCancel(context.Background())
			cancel()
			w.again = gone
		}
		got := w.run("run", "unit")
		require.Contains(t, got.err, "Come back with: ci watch unit/7\n")
		require.Contains(t, got.err, "Interrupt again within")
		if twice {
			require.Equal(t, []int64{7}, w.client.aborted)
		} else {
			require.Equal(t, exitDetached, got.code)
			require.Empty(t, w.client.aborted)
		}
	}
}
