package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

	"ci/pkg/ci"
	"ci/tui/feed"
	"ci/tui/screen"
	"ci/tui/theme"
)

// noon is the time of every test.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const commit = "3f2a1b0c9d8e7f60514233241506a7b8c9d0e1f2"

// fakeClient is a server in memory.
type fakeClient struct {
	mu       sync.Mutex
	jobs     []ci.Job
	runs     []ci.Run
	agents   []ci.Agent
	queues   []ci.QueueDepth
	results  []ci.Result
	secrets  []ci.Secret
	report   ci.QueueReport
	console  string
	bytes    string
	err      error // every call's
	said     []string
	put      *ci.Job
	putAt    int64
	triggerd ci.Trigger
	value    string

	pipelines []ci.Pipeline
	pipeRuns  []ci.PipelineRun // with their calls
	started   map[string]string
}

func (f *fakeClient) say(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, fmt.Sprintf(format, args...))
	return f.err
}

func seq[T any](items []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err != nil {
			var zero T
			yield(zero, err)
			return
		}
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}

func (f *fakeClient) GetJob(_ context.Context, name string) (*ci.Job, error) {
	for i := range f.jobs {
		if f.jobs[i].Name == name {
			return &f.jobs[i], f.err
		}
	}
	return nil, errors.Join(f.err, ci.Errorf(ci.CodeNotFound, "there is no job %s", name))
}

func (f *fakeClient) PutJob(_ context.Context, j *ci.Job, v int64) (*ci.Job, bool, error) {
	f.put, f.putAt = j, v
	stored := *j
	stored.Version = v + 1
	return &stored, v < 0, f.say("put %s", j.Name)
}

func (f *fakeClient) ListJobs(context.Context) iter.Seq2[ci.Job, error] { return seq(f.jobs, f.err) }

func (f *fakeClient) DeleteJob(_ context.Context, name string) error { return f.say("delete %s", name) }

func (f *fakeClient) Trigger(_ context.Context, t ci.Trigger) (*ci.Run, error) {
	f.triggerd = t
	if err := f.say("trigger %s", t.Job); err != nil {
		return nil, err
	}
	return &ci.Run{ID: 99, Job: t.Job, Status: ci.StatusInProgress, Phase: ci.PhasePlanning}, nil
}

func (f *fakeClient) GetRun(_ context.Context, job string, id int64) (*ci.Run, error) {
	for i := range f.runs {
		if f.runs[i].ID == id && f.runs[i].Job == job {
			return &f.runs[i], f.err
		}
	}
	return nil, errors.Join(f.err, ci.Errorf(ci.CodeNotFound, "there is no run %s/%d", job, id))
}

func (f *fakeClient) ListRuns(_ context.Context, filter ci.RunFilter) iter.Seq2[ci.Run, error] {
	var runs []ci.Run
	for _, r := range f.runs {
		if (filter.Job == "" || r.Job == filter.Job) && (filter.Parent == 0 || r.Parent != nil && r.Parent.Run == filter.Parent) {
			runs = append(runs, r)
		}
	}
	return seq(runs, f.err)
}

func (f *fakeClient) Abort(ctx context.Context, job string, id int64) (*ci.Run, error) {
	if err := f.say("abort %s/%d", job, id); err != nil {
		return nil, err
	}
	return f.GetRun(ctx, job, id)
}

func (f *fakeClient) Explain(context.Context, string, int64) (*ci.QueueReport, error) {
	r := f.report
	return &r, f.err
}

func (f *fakeClient) Results(context.Context, string, int64) ([]ci.Result, error) {
	return f.results, f.err
}

func (f *fakeClient) OpenResult(context.Context, string, int64, string) (io.ReadCloser, string, string, int64, error) {
	return io.NopCloser(strings.NewReader(f.bytes)), "", "", int64(len(f.bytes)), f.err
}

func (f *fakeClient) Events(ctx context.Context, _ int64) iter.Seq2[ci.Event, error] {
	return func(func(ci.Event, error) bool) { <-ctx.Done() }
}

func (f *fakeClient) ListAgents(context.Context) ([]ci.Agent, error) { return f.agents, f.err }

func (f *fakeClient) Drain(_ context.Context, agent string, d ci.Drain) (ci.Drain, error) {
	return d, f.say("drain %s %s", agent, d.Reason)
}

func (f *fakeClient) Undrain(_ context.Context, agent string) error {
	return f.say("undrain %s", agent)
}

func (f *fakeClient) Queues(context.Context) ([]ci.QueueDepth, error) { return f.queues, f.err }

func (f *fakeClient) PutSecret(_ context.Context, job, name, value string) (ci.Secret, error) {
	f.value = value
	return ci.Secret{}, f.say("secret %s %s", job, name)
}

func (f *fakeClient) ListSecrets(context.Context, string) ([]ci.Secret, error) {
	return f.secrets, f.err
}

func (f *fakeClient) DeleteSecret(_ context.Context, job, name string) error {
	return f.say("delete secret %s %s", job, name)
}

const report = `<testsuites><testsuite name="parser">
<testcase classname="parser.Lines" name="reads the last line" time="0.02"/>
<testcase classname="parser.Lines" name="keeps an empty file" time="0.31"><failure message="want 0 lines, got 1">parser_test.go:42: want 0 lines, got 1
	at TestEmpty (parser_test.go:42)
	at runtime.main</failure></testcase>
<testcase classname="parser.Speed" name="a megabyte" time="1.2"><error message="out of memory"/></testcase>
<testcase classname="parser.Speed" name="a gigabyte"><skipped/></testcase>
</testsuite></testsuites>`

// seconds are times at these many seconds before noon; 0 is none.
func seconds(triggered, queued, claimed, started, collecting, done int) ci.Times {
	at := func(s int) time.Time {
		if s == 0 {
			return time.Time{}
		}
		return noon.Add(-time.Duration(s) * time.Second)
	}
	return ci.Times{Triggered: at(triggered), Queued: at(queued), Claimed: at(claimed), Started: at(started), Collecting: at(collecting), Done: at(done)}
}

func sample() *fakeClient {
	code := 2
	done := func(id int64, job string, o ci.Outcome, reason string, ago int) ci.Run {
		return ci.Run{
			ID: id, Job: job, Status: ci.StatusDone, Phase: ci.PhaseCollecting, Outcome: o, Reason: reason, BranchName: "main", CommitSHA: commit, TriggeredBy: "alice", Class: "small", Priority: ci.PriorityNormal,
			Agent: "box-1", Times: seconds(ago, ago-1, ago-2, ago-10, ago-60, ago-61),
		}
	}
	failed := done(41, "unit-test", ci.OutcomeFailed, "The script exited with status 2; the end of its console says why.", 400)
	failed.ExitCode, failed.Parameters = &code, map[string]string{"LEVEL": "3", "TARGET": "linux/amd64"}
	failed.Parent, failed.Console = &ci.RunRef{Job: "release", Run: 40}, ci.Console{Bytes: 1 << 20}
	failed.Spec, failed.Trace = &ci.Spec{CI: true}, ci.ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "")
	failed.Steps = []ci.Step{
		{Name: "checkout", Began: failed.Times.Claimed, Took: ci.Duration(2 * time.Second)},
		{Name: "environment", Began: failed.Times.Claimed, Took: ci.Duration(7 * time.Second), Detail: "built"},
		{Name: "service db", Began: failed.Times.Claimed.Add(time.Second), Took: ci.Duration(5 * time.Second), Detail: "pulled"},
	}
	failed.Images = []ci.RunImage{{For: "environment", Reference: "Dockerfile", Digest: "sha256:0123456789abcdef"}}
	child := done(42, "lint", ci.OutcomeSucceeded, "", 380)
	child.Parent = &ci.RunRef{Job: "unit-test", Run: 41}
	running := ci.Run{ID: 45, Job: "integration", Status: ci.StatusInProgress, Phase: ci.PhaseRunning, BranchName: "feature/großes-ding", CommitSHA: commit, Agent: "box-1", Class: "medium", Priority: ci.PriorityUrgent, TriggeredBy: "bob", ScriptStarted: true, Times: seconds(95, 94, 90, 75, 0, 0)}
	waiting := ci.Run{ID: 46, Job: "deploy", Status: ci.StatusInProgress, Phase: ci.PhaseQueued, BranchName: "main", CommitSHA: commit, Class: "large", Priority: ci.PriorityNormal, TriggeredBy: "alice", Times: seconds(50, 49, 0, 0, 0, 0)}
	return &fakeClient{
		jobs: []ci.Job{
			{Name: "deploy", Git: &ci.Git{URL: "https://example.com/app.git", ConfigPath: "ci/deploy.yaml"}, Version: 4, Parameters: []ci.Parameter{{Name: "STAGE", Required: true, Description: "where to"}}},
			{Name: "integration", Git: &ci.Git{URL: "https://example.com/app.git", ConfigPath: "ci/integration.yaml"}, Version: 1},
			{Name: "lint", Freestyle: []byte(`{"script":"true"}`), Version: 1},
			{Name: "unit-test", Git: &ci.Git{URL: "git@example.com:app.git", ConfigPath: "ci/test.yaml"}, Version: 7, Parameters: []ci.Parameter{{Name: "LEVEL", Default: "1", Description: "how thorough"}, {Name: "TARGET", Default: "linux/amd64"}}},
		},
		runs: []ci.Run{
			waiting, running, done(44, "unit-test", ci.OutcomeTimedOut, "It was not done after 10m.", 200), done(43, "unit-test", ci.OutcomeAborted, "alice asked for its end.", 300),
			child, failed, done(40, "release", ci.OutcomeLost, "Its agent went away; the script had begun.", 500), done(39, "lint", ci.OutcomeError, "The image could not be pulled.", 4000),
			done(38, "unit-test", ci.OutcomeSucceeded, "", 90000),
		},
		agents: []ci.Agent{
			{ID: "box-1", Version: "v1.2.0", CPUs: 8, FreeCPUs: 5, Memory: 32 << 30, FreeMemory: 24 << 30, CPULoad: 0.42, Runs: []int64{45}, SeenAt: noon.Add(-2 * time.Second), Warnings: []string{"no quota of disk: the engine's storage has none"}},
			{ID: "box-2", Version: "v1.2.0", CPUs: 8, FreeCPUs: 8, Memory: 32 << 30, FreeMemory: 32 << 30, CPULoad: 0.91, SeenAt: noon, Refusals: map[string]string{"large": "cpu 91% ≥ 80%", "medium": "cpu 91% ≥ 80%"}},
			{ID: "box-3", Version: "v1.1.0", CPUs: 2, FreeCPUs: 2, Memory: 4 << 30, FreeMemory: 4 << 30, Draining: true, SeenAt: noon.Add(-time.Second)},
			{ID: "box-4", Version: "v1.1.0", Problem: "Docker does not answer", SeenAt: noon.Add(-time.Hour)},
		},
		queues:  []ci.QueueDepth{{Lane: ci.Lane{Class: "large", Priority: ci.PriorityNormal}, Queued: 1, Oldest: noon.Add(-50 * time.Second)}, {Lane: ci.Lane{Class: "small", Priority: ci.PriorityNormal}}},
		report:  ci.QueueReport{Run: 46, Phase: ci.PhaseQueued, Class: "large", Priority: ci.PriorityNormal, Reason: "No agent takes it at the moment: 1 is busy, 1 drains, 1 is away", Agents: []ci.AgentVerdict{{Agent: "box-1", Reason: "has 5 of 8 cores free, needs 8"}, {Agent: "box-2", Reason: "cpu 91% ≥ 80%"}, {Agent: "box-3", Reason: "draining"}}},
		results: []ci.Result{{Name: "binary", ContentType: "application/octet-stream", Size: 5 << 20, Filename: "app", Files: 1, SHA256: strings.Repeat("ab", 32)}, {Name: "junit", ContentType: "application/xml", Size: int64(len(report)), Filename: "junit.xml", Files: 1}, {Name: ci.ConsoleResult}},
		secrets: []ci.Secret{{Job: "unit-test", Name: "API_KEY", Version: 3, UpdatedAt: noon.Add(-time.Hour), UpdatedBy: "alice"}, {Job: "unit-test", Name: "DEPLOY_TOKEN", Version: 1, UpdatedAt: noon.Add(-48 * time.Hour), UpdatedBy: "bob"}},
		bytes:   report,
		console: consoleText(),

		pipelines: []ci.Pipeline{
			{Name: "nightly", Version: 2, UpdatedBy: "bob"},
			{Name: "release", Version: 3, UpdatedBy: "alice", Parameters: []ci.PipelineParameter{{Name: "branch", Type: "string", Default: "main"}, {Name: "dry", Type: "bool", Default: "false"}, {Name: "version", Type: "string", Required: true}}},
		},
		pipeRuns: samplePipelineRuns(),
	}
}

func consoleText() string {
	var b strings.Builder
	b.WriteString("ci: checkout of " + commit + "\nci: the image is built from Dockerfile\nci: service db is up after 5s\n")
	for i := range 30 {
		fmt.Fprintf(&b, "\x1b[32mok\x1b[0m  \tpackage/number%02d\t0.%02ds\n", i, i)
	}
	b.WriteString("\x1b[1;31mFAIL\x1b[0m\tpackage/parser\t0.31s\nparser_test.go:42: error: want 0 lines, got 1\n10%\r50%\r100% done\nci: result junit: stored 12KiB\n")
	return b.String()
}

// stage is a program with a client and a terminal of w by h cells.
type stage struct {
	*program
	t      testing.TB
	client *fakeClient
	copied string
	edited string // what the editor was given
	writes string // what it leaves behind
	secret bool
}

func newStage(t testing.TB, c *fakeClient, w, h int, p termenv.Profile, dark bool) *stage {
	t.Helper()
	s := &stage{t: t, client: c}
	now := func() time.Time { return noon }
	world := &screen.World{Theme: theme.New(p, dark), Feed: feed.New(t.Context(), c, c, now), Now: now}
	world.Tools = screen.Tools{
		Copy: func(text string) error { s.copied = text; return nil }, Spill: t.TempDir(),
		Edit: func(_ string, text []byte, secret bool, done func([]byte, error) tea.Msg) tea.Cmd {
			s.edited, s.secret = string(text), secret
			return func() tea.Msg { return done([]byte(s.writes), nil) }
		},
		WriteJob: func(j *ci.Job) ([]byte, error) { return []byte("name: " + j.Name + "\n"), nil },
		ReadJob: func(text []byte) (*ci.Job, error) {
			name, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "name: ")
			if !ok {
				return nil, ci.Errorf(ci.CodeInvalid, "line 1: there is no name")
			}
			return &ci.Job{Name: name, Freestyle: []byte(`{}`)}, nil
		},
	}
	s.program = newProgram(world, "https://ci.example.com")
	t.Cleanup(s.close)
	s.send(tea.WindowSizeMsg{Width: w, Height: h})
	for _, l := range s.lists {
		s.do(l.Init())
	}
	s.send(feed.Link{Online: true, Since: noon})
	snap, err := feed.New(t.Context(), c, c, now).Look()
	if err == nil {
		s.send(snap)
	}
	s.send(feed.New(t.Context(), c, c, now).LookAtPipelines())
	return s
}

// send gives a message to the program, and all that follows from it.
func (s *stage) send(msg tea.Msg) {
	_, cmd := s.Update(msg)
	s.do(cmd)
}

func (s *stage) do(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch m := cmd().(type) {
	case nil:
	case tea.BatchMsg:
		for _, c := range m {
			s.do(c)
		}
	case tea.QuitMsg:
		s.t.Log("quit")
	default:
		s.send(m)
	}
}

// keys presses keys: names of keys, or text that is typed.
func (s *stage) keys(keys ...string) *stage {
	named := map[string]tea.KeyType{"esc": tea.KeyEsc, "ctrl+s": tea.KeyCtrlS, "ctrl+p": tea.KeyCtrlP, "backspace": tea.KeyBackspace, "end": tea.KeyEnd, "home": tea.KeyHome}
	for _, k := range keys {
		if t, ok := named[k]; ok {
			s.send(tea.KeyMsg{Type: t})
			continue
		}
		if m, ok := keyOf(k); ok {
			s.send(m)
			continue
		}
		for _, r := range k {
			s.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
		}
	}
	return s
}

// hostile is what an enemy calls things.
const hostile = "evil\x1b]0;owned\x07\x1b[2J\u202e\u009b31m\tx\ny\xff"

// poison puts hostile into every text within v.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			poison(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				poison(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.String && !v.IsNil() {
			v.SetMapIndex(reflect.ValueOf(hostile).Convert(v.Type().Key()), reflect.ValueOf(hostile))
		}
	case reflect.String:
		switch v.Interface().(type) { // what the program itself compares
		case ci.Status, ci.Phase, ci.Outcome:
		default:
			v.SetString(hostile)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}
