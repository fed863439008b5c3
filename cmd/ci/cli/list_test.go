package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = []ci.Run{doneRun(7, ci.OutcomeFailed, 2)}
	w.client.runs[8] = states(doneRun(8, ci.OutcomeSucceeded, 0))[:2]
	got := w.run("ls", "unit", "-s", "failed", "--since", "24h", "-b", "main", "-n", "5")
	require.Equal(t, 0, got.code, got.err)
	require.Equal(t, "8\tunit\tin_progress\tqueued\t\t\t\t"+strings.Repeat("ab", 20)+"\t\t\t\n"+
		"7\tunit\tdone\tcollecting\tfailed\t2\tmain\t"+strings.Repeat("ab", 20)+"\t2026-03-01T11:00:00Z\t2026-03-01T11:20:00Z\tbecause failed\n", got.out)
	require.Equal(t, ci.RunFilter{Job: "unit", Outcome: ci.OutcomeFailed, BranchName: "main", Since: noon.Add(-24 * time.Hour)}, w.client.filter)

	w.width = 70
	got = w.terminal().run("ls")
	require.Equal(t, ""+
		"RUN     STATE   BRANCH  COMMIT      TRIGGERED  TOOK    REASON\n"+
		"unit/8  queued          ababababab\n"+
		"unit/7  failed  main    ababababab  1h00m ago  10m00s  because failed\n", got.out)
	w.color = true
	require.Contains(t, w.run("ls").out, "\x1b[31mfailed\x1b[0m")

	w.client.runs = nil
	require.Equal(t, said{0, "", "No runs.\n"}, w.run("ls"))
}

func TestListJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.documents["/jobs/unit/runs?outcome=failed&pageSize=500"] = `{"runs":[{"id":3},{"id":2}],"nextPageToken":"2"}`
	w.documents["/jobs/unit/runs?outcome=failed&pageSize=500&pageToken=2"] = `{"runs":[{"id":1}],"nextPageToken":""}`
	got := w.run("ls", "unit", "-s", "failed", "-n", "0", "--json")
	require.Equal(t, said{0, `{"nextPageToken":"","runs":[{"id":3},{"id":2},{"id":1}]}` + "\n", ""}, got)
	require.Contains(t, w.requests[0], "Bearer tok")
	got = w.run("ls", "unit", "-s", "failed", "-n", "0", "--jq", ".runs[] | select(.id > 1) | \"run \\(.id)\"")
	require.Equal(t, said{0, "run 3\nrun 2\n", ""}, got)
	got = w.run("ls", "unit", "-s", "failed", "-n", "0", "--jq", ".runs | error(\"x\")")
	require.Equal(t, exitUsage, got.code)

	w.documents["/runs?pageSize=2"] = `{"runs":[{"id":9007199254740993},{"id":2}],"nextPageToken":"2"}`
	require.Equal(t, "9007199254740993\n", w.run("ls", "-n", "2", "--jq", ".runs[0].id").out, "numbers stay exact")
}

// TestHostileNames calls everything that a server can name by an enemy's name.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := doneRun(7, ci.OutcomeFailed, 1)
	r.Reason, r.BranchName, r.CommitSHA, r.Class, r.Agent, r.TriggeredBy = hostile, hostile, hostile, hostile, hostile, hostile
	r.Outcome, r.Parameters = ci.Outcome(hostile), map[string]string{hostile: hostile}
	r.Console.Bytes = int64(len(hostile))
	w.client.runs[7] = states(r)
	w.client.bytes["console"] = hostile
	w.client.report = ci.QueueReport{Phase: ci.PhaseQueued, Reason: hostile, Class: hostile, Agents: []ci.AgentVerdict{{Agent: hostile, Reason: hostile}}}
	w.client.jobs[hostile] = ci.Job{Name: hostile, Git: &ci.Git{URL: hostile, ConfigPath: hostile}, Parameters: []ci.Parameter{{Name: hostile, Description: hostile}}}
	w.client.jobs["unit"] = w.client.jobs[hostile]
	w.client.results = []ci.Result{{Name: hostile, ContentType: hostile, Filename: hostile}}
	w.client.agents = []ci.Agent{{ID: hostile, Problem: hostile, Refusals: map[string]string{hostile: hostile}, Warnings: []string{hostile}}}
	w.client.queues = []ci.QueueDepth{{Lane: ci.Lane{Class: hostile}}}
	w.client.tokens = []ci.Token{{Name: hostile, ID: hostile, Role: ci.Role(hostile), Jobs: []string{hostile}}}
	w.client.events = []ci.Event{{Seq: 1, Job: hostile, Type: ci.EventType(hostile), Outcome: ci.Outcome(hostile)}}
	w.documents["/agents"] = `{"agents":[{"id":"` + "\u202e\u009b" + `"}]}`
	for _, tty := range []bool{false, true} {
		w.tty = tty
		for _, line := range []string{
			"ls", "show unit 7", "watch unit 7", "run unit --wait", "queue", "queue unit 7", "job ls", "job show unit", "result ls unit 7",
			"result get unit 7 x", "agent ls", "token ls", "events",
		} {
			got := w.run(strings.Fields(line)...)
			harmless(t, strings.ReplaceAll(got.out, "\t", ""))
			harmless(t, strings.ReplaceAll(got.err, "\t", ""))
			require.Contains(t, got.out+got.err, "evil", line)
		}
	}
	got := w.run("agent", "ls", "--json")
	harmless(t, got.out)
	require.Contains(t, got.out, `\u202e\u009b`)
}

func TestErrorsOfREST(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.run("job", "show", "nope", "--json")
	require.Equal(t, exitNotFound, got.code)
	require.Equal(t, "ci: there is no \\x1b]0;x\\x07such thing\n  name: no\\u202e\n", got.err)
	w.server.Close()
	got = w.run("job", "show", "nope", "--json")
	require.Equal(t, exitUnreachable, got.code)
	require.Contains(t, got.err, "can't be reached")
}
