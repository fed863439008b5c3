package plain

import (
	"context"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fakeClient is a server with one failed run.
type fakeClient struct {
	feed.Client
	said []string
}

func failed() ci.Run {
	code := 3
	return ci.Run{ID: 2, Job: "flaky", Status: ci.StatusDone, Phase: ci.PhaseCollecting, Outcome: ci.OutcomeFailed, ExitCode: &code, Reason: "it exited\x1b[2J with 3", Parameters: map[string]string{"FIX": ""}, Times: ci.Times{Triggered: noon.Add(-time.Minute), Queued: noon.Add(-59 * time.Second), Done: noon}}
}

func list[T any](items ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, i := range items {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func (f *fakeClient) ListRuns(context.Context, ci.RunFilter) iter.Seq2[ci.Run, error] {
	return list(failed())
}

func (f *fakeClient) ListJobs(context.Context) iter.Seq2[ci.Job, error] {
	return list(ci.Job{Name: "flaky"}, ci.Job{Name: "new"})
}

func (f *fakeClient) ListAgents(context.Context) ([]ci.Agent, error) {
	return []ci.Agent{{ID: "box", CPUs: 2, FreeCPUs: 1, CPULoad: 0.5, SeenAt: noon, Refusals: map[string]string{"large": "too few cores"}}}, nil
}

func (f *fakeClient) Queues(context.Context) ([]ci.QueueDepth, error) {
	return []ci.QueueDepth{{Lane: ci.Lane{Class: "small", Priority: ci.PriorityNormal}, Queued: 2, Oldest: noon.Add(-time.Minute)}}, nil
}

func (f *fakeClient) GetRun(_ context.Context, job string, id int64) (*ci.Run, error) {
	if r := failed(); r.Job == job && r.ID == id {
		return &r, nil
	}
	return nil, ci.Errorf(ci.CodeNotFound, "there is no run %s/%d", job, id)
}

func (f *fakeClient) Results(context.Context, string, int64) ([]ci.Result, error) {
	return []ci.Result{{Name: "junit", Size: 100, ContentType: "application/xml"}}, nil
}

func (f *fakeClient) OpenResult(context.Context, string, int64, string) (io.ReadCloser, string, string, int64, error) {
	return io.NopCloser(strings.NewReader(`<testsuite><testcase name="adds"><failure message="want 3">at line 4</failure></testcase></testsuite>`)), "", "", -1, nil
}

func (f *fakeClient) Console(context.Context, string, int64, int64, bool) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("one\n\x1b]0;owned\x07\n\x1b[31mtwo\x1b[0m\nthree\n")), nil
}

func (f *fakeClient) Explain(context.Context, string, int64) (*ci.QueueReport, error) {
	return &ci.QueueReport{Reason: "all are busy", Agents: []ci.AgentVerdict{{Agent: "box", Reason: "full"}}}, nil
}

func (f *fakeClient) Trigger(_ context.Context, t ci.Trigger) (*ci.Run, error) {
	f.said = append(f.said, "trigger "+t.Job+" "+t.Parameters["FIX"])
	return &ci.Run{ID: 9, Job: t.Job}, nil
}

func (f *fakeClient) Abort(_ context.Context, job string, _ int64) (*ci.Run, error) {
	f.said = append(f.said, "abort "+job)
	return &ci.Run{ID: 2, Job: job}, nil
}

func (f *fakeClient) Drain(_ context.Context, agent string, d ci.Drain) (ci.Drain, error) {
	f.said = append(f.said, "drain "+agent+" "+d.Reason)
	return d, nil
}

func (f *fakeClient) Undrain(_ context.Context, agent string) error {
	f.said = append(f.said, "undrain "+agent)
	return nil
}

// fakePipelines is a server with one run of a pipeline, which asks.
type fakePipelines struct{ feed.PipelineClient }

func asking() ci.PipelineRun {
	return ci.PipelineRun{ID: 7, Pipeline: "release", Status: ci.StatusInProgress, Triggered: noon.Add(-time.Minute), Calls: []ci.PipelineCall{
		{ID: "0", Kind: ci.CallRun, Title: "flaky", Run: &ci.RunRef{Job: "flaky", Run: 2}, Done: true, Outcome: ci.OutcomeSucceeded},
		{ID: "1", Kind: ci.CallApprove, Title: "deploy?\x1b[2J", After: []string{"0"}},
	}}
}

func (f *fakePipelines) ListPipelines(context.Context) iter.Seq2[ci.Pipeline, error] {
	return list(ci.Pipeline{Name: "release"})
}

func (f *fakePipelines) ListPipelineRuns(context.Context, string, ci.Status, ci.Outcome) iter.Seq2[ci.PipelineRun, error] {
	return list(asking())
}

func (f *fakePipelines) WaitPipelineRuns(context.Context, string, int, string) ([]ci.PipelineRun, string, error) {
	return []ci.PipelineRun{asking()}, "", nil
}

func (f *fakePipelines) GetPipelineRun(context.Context, string, int64) (*ci.PipelineRun, error) {
	r := asking()
	return &r, nil
}

func (f *fakePipelines) RunPipeline(context.Context, string, map[string]string, string) (*ci.PipelineRun, error) {
	return &ci.PipelineRun{ID: 8, Pipeline: "release"}, nil
}

func (f *fakePipelines) RerunPipeline(context.Context, string, int64, bool, string) (*ci.PipelineRun, error) {
	return &ci.PipelineRun{ID: 8, Pipeline: "release"}, nil
}

func (f *fakePipelines) AbortPipelineRun(context.Context, string, int64) (*ci.PipelineRun, error) {
	r := asking()
	return &r, nil
}

func (f *fakePipelines) AnswerPipeline(context.Context, string, int64, string, bool, string) (*ci.PipelineRun, error) {
	r := asking()
	return &r, nil
}

func TestTalk(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"runs":                 "failed flaky/2, 1m00s ago",
		"runs nonsense":        "No runs.",
		"run flaky/2":          "Reason: it exited\\x1b[2J with 3\nExit code: 3\n",
		"run flaky":            `That did not work: "flaky" is not a run; an example is unit-test/12`,
		"run other/1":          "That did not work: there is no run other/1",
		"run":                  "usage: run JOB/RUN",
		"log flaky/2 2":        "two\nthree\n",
		"follow flaky/2":       "\ntwo\nthree\nfailed flaky/2",
		"tests flaky/2":        "failed: adds\n  want 3\nat line 4\n",
		"jobs":                 "flaky, last run failed flaky/2, 1m00s ago\nnew, never ran",
		"why flaky/2":          "all are busy\nAgent box refuses: full",
		"queue":                "2 in small.normal, the oldest since 1m00s.",
		"agents":               "box, ready, CPU 50 percent, 1 of 2 cores free",
		"trigger flaky FIX=1":  "Triggered flaky/9.",
		"trigger flaky x":      `"x" is not NAME=VALUE`,
		"again flaky/2\ny":     "Run flaky again? y or n: Triggered flaky/9.",
		"again flaky/2\nn":     "Run flaky again? y or n: ci> ",
		"abort flaky/2\ny":     "flaky/2 is asked to end.",
		"drain box disk\ny":    "box takes nothing new.",
		"und box":              "box takes runs again.",
		"dance":                `"dance" is not known`,
		"t":                    `"t" may be tests or trigger`,
		"pipelines":            "release, last run running release/7, 1m00s ago, took 1m00s",
		"pipeline release/7":   "Step 1, approve deploy?\\x1b[2J: asks, after 0\n",
		"approve release/7\ny": "Approve deploy?\\x1b[2J? y or n: Approved in release/7.",
		"reject release/7 9":   "nothing like that waits",
		"start release v=1":    "Started release/8.",
		"rerun release/7\ny":   "Run again what failed in release/7? y or n: Started release/8.",
		"stop release/7\ny":    "release/7 is asked to end.",
		"help":                 "drain AGENT [REASON…]: have an agent take nothing new.",
	} {
		t.Run(in, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			now := func() time.Time { return noon }
			talk := New(feed.New(t.Context(), &fakeClient{}, &fakePipelines{}, now), strings.NewReader(in+"\nquit\nruns\n"), &out, now)
			require.NoError(t, talk.Run(t.Context()))
			require.Contains(t, out.String(), want)
			for _, r := range out.String() {
				require.False(t, r != '\n' && terminal.Unsafe(r), "%U", r)
			}
		})
	}
}
