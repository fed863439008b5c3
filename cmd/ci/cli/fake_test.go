package cli

import (
	"bytes"
	"context"
	"io"
	"iter"
	"slices"
	"time"

	"ci/pkg/ci"
)

// fakeClient is a server in memory. A run is the list of states that it goes
// through; waiting moves along it.
type fakeClient struct {
	jobs       map[string]ci.Job
	runs       map[int64][]ci.Run
	trigger    ci.Trigger // the last
	aborted    []int64
	report     ci.QueueReport
	results    []ci.Result
	bytes      map[string]string // of results and consoles
	events     []ci.Event
	agents     []ci.Agent
	drained    map[string]*ci.Drain
	queues     []ci.QueueDepth
	config     ci.Config
	tokens     []ci.Token
	secrets    []ci.Secret
	registries []ci.Registry
	forges     []ci.Forge
	triggers   map[string]ci.EventTrigger
	sshKeys    map[string]ci.SSHKey
	scanned    []ci.HostKey
	values     map[string]string    // of secrets and accounts
	onWait     func(until ci.Until) // called before a wait blocks
	onConsole  func()
	timesAsked int
	onList     func() // called after runs were listed
	filter     ci.RunFilter
	pins       []ci.Pin
	asked      []string // the jobs that plans of retention were asked for
	err        error    // every call's
}

func newFakeClient() *fakeClient {
	return &fakeClient{
		values: map[string]string{}, sshKeys: map[string]ci.SSHKey{}, jobs: map[string]ci.Job{}, triggers: map[string]ci.EventTrigger{}, runs: map[int64][]ci.Run{}, bytes: map[string]string{}, drained: map[string]*ci.Drain{}, config: ci.DefaultConfig(),
	}
}

func missing(what string) error { return ci.Errorf(ci.CodeNotFound, "there is no %s", what) }

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

func (f *fakeClient) PutJob(_ context.Context, j *ci.Job, ifVersion int64) (*ci.Job, bool, error) {
	there, ok := f.jobs[j.Name]
	if ok && ifVersion != there.Version || !ok && ifVersion > 0 {
		return nil, false, ci.Errorf(ci.CodeStale, "stale")
	}
	stored := *j
	stored.Version = there.Version + 1
	f.jobs[j.Name] = stored
	return &stored, !ok, f.err
}

func (f *fakeClient) GetJob(_ context.Context, name string) (*ci.Job, error) {
	j, ok := f.jobs[name]
	if f.err != nil || !ok {
		return nil, firstError(f.err, missing("job "+name))
	}
	return &j, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeClient) ListJobs(context.Context) iter.Seq2[ci.Job, error] {
	var all []ci.Job
	for _, n := range sortedKeys(f.jobs) {
		all = append(all, f.jobs[n])
	}
	return seq(all, f.err)
}

func (f *fakeClient) PutEventTrigger(_ context.Context, t ci.EventTrigger, ifVersion int64) (ci.EventTrigger, bool, error) {
	there, ok := f.triggers[t.Name]
	if ifVersion > 0 && ifVersion != there.Version {
		return t, false, ci.Errorf(ci.CodeStale, "stale")
	}
	t.Version = there.Version + 1
	f.triggers[t.Name] = t
	return t, !ok, f.err
}

// ListEventTriggers has one trigger a page.
func (f *fakeClient) ListEventTriggers(_ context.Context, _ string, _ int, page string) (list []ci.EventTrigger, next string, err error) {
	for _, n := range sortedKeys(f.triggers) {
		switch {
		case n <= page:
		case len(list) == 1:
			return list, list[0].Name, f.err
		default:
			list = append(list, f.triggers[n])
		}
	}
	return list, "", f.err
}

func (f *fakeClient) DeleteEventTrigger(_ context.Context, name string) error {
	delete(f.triggers, name)
	return f.err
}

func (f *fakeClient) DeleteJob(_ context.Context, name string) error {
	if _, ok := f.jobs[name]; !ok {
		return missing("job " + name)
	}
	delete(f.jobs, name)
	return f.err
}

func (f *fakeClient) Trigger(_ context.Context, t ci.Trigger) (*ci.Run, error) {
	f.trigger = t
	if f.err != nil {
		return nil, f.err
	}
	for _, states := range f.runs {
		return &states[0], nil
	}
	return nil, missing("job " + t.Job)
}

func (f *fakeClient) GetRun(_ context.Context, job string, id int64) (*ci.Run, error) {
	states, ok := f.runs[id]
	if f.err != nil || !ok || states[0].Job != job {
		return nil, firstError(f.err, missing("run"))
	}
	return &states[len(states)-1], nil
}

func (f *fakeClient) FindRun(ctx context.Context, id int64) (*ci.Run, error) {
	states, ok := f.runs[id]
	if !ok {
		return nil, firstError(f.err, missing("run"))
	}
	return f.GetRun(ctx, states[0].Job, id)
}

func (f *fakeClient) WaitRun(ctx context.Context, job string, id int64, until ci.Until) (*ci.Run, error) {
	if _, err := f.GetRun(ctx, job, id); err != nil {
		return nil, err
	}
	for i := range f.runs[id] {
		if r := &f.runs[id][i]; r.Reached(until) {
			return r, nil
		}
	}
	if f.onWait != nil {
		f.onWait(until)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (f *fakeClient) ListRuns(_ context.Context, filter ci.RunFilter) iter.Seq2[ci.Run, error] {
	f.filter = filter
	var all []ci.Run
	for _, states := range f.runs {
		parent := states[0].Parent
		end := states[len(states)-1]
		if (filter.Job == "" || end.Job == filter.Job) && (filter.Parent == 0 || parent != nil && parent.Run == filter.Parent) &&
			(filter.BranchName == "" || end.BranchName == "" || end.BranchName == filter.BranchName) && (filter.CommitSHA == "" || end.CommitSHA == filter.CommitSHA) {
			all = append(all, end)
		}
	}
	if f.onList != nil {
		f.onList()
	}
	slices.SortFunc(all, func(a, b ci.Run) int { return int(b.ID - a.ID) })
	return seq(all, f.err)
}

func (f *fakeClient) Abort(ctx context.Context, job string, id int64) (*ci.Run, error) {
	r, err := f.GetRun(ctx, job, id)
	if err != nil {
		return nil, err
	}
	if r.Done() {
		return nil, ci.Errorf(ci.CodeConflict, "run %d is done", id)
	}
	f.aborted = append(f.aborted, id)
	end := doneRun(id, ci.OutcomeAborted, 0)
	f.runs[id] = append(f.runs[id], end)
	return r, nil
}

func (f *fakeClient) Explain(context.Context, string, int64) (*ci.QueueReport, error) {
	return &f.report, f.err
}

func (f *fakeClient) Results(context.Context, string, int64) ([]ci.Result, error) {
	return f.results, f.err
}

func (f *fakeClient) OpenResult(_ context.Context, _ string, _ int64, name string) (io.ReadCloser, string, string, int64, error) {
	data, ok := f.bytes[name]
	if !ok {
		return nil, "", "", 0, missing("result " + name)
	}
	return io.NopCloser(bytes.NewReader([]byte(data))), "", "", int64(len(data)), nil
}

func (f *fakeClient) Console(ctx context.Context, _ string, _ int64, from int64, follow bool) (io.ReadCloser, error) {
	data := io.Reader(bytes.NewReader([]byte(f.bytes["console"][from:])))
	if follow && f.onConsole != nil {
		data = io.MultiReader(data, readerFunc(func([]byte) (int, error) {
			f.onConsole()
			<-ctx.Done()
			return 0, ctx.Err()
		}))
	}
	return io.NopCloser(data), f.err
}

// ConsoleTimes has a part of every eight bytes, a second each.
func (f *fakeClient) ConsoleTimes(_ context.Context, _ string, _, from int64) (ci.ConsoleTimes, error) {
	f.timesAsked++
	var out ci.ConsoleTimes
	for at := from / 8 * 8; at < int64(len(f.bytes["console"])); at += 8 {
		out = append(out, ci.ConsoleTime{Offset: at, Length: 8, At: noon.Add(time.Duration(at/8) * time.Second)})
	}
	return out, f.err
}

type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }

func (f *fakeClient) Events(_ context.Context, after int64) iter.Seq2[ci.Event, error] {
	var later []ci.Event
	for _, e := range f.events {
		if e.Seq > after {
			later = append(later, e)
		}
	}
	return seq(later, f.err)
}

func (f *fakeClient) ListAgents(context.Context) ([]ci.Agent, error) { return f.agents, f.err }

func (f *fakeClient) Drain(_ context.Context, agent string, d ci.Drain) (ci.Drain, error) {
	f.drained[agent] = &d
	return d, f.err
}

// GetDrain lets one run of the drain end with each question.
func (f *fakeClient) GetDrain(_ context.Context, agent string) (ci.Drain, error) {
	d := f.drained[agent]
	if d == nil {
		return ci.Drain{}, ci.Errorf(ci.CodeNotFound, "agent %s is not drained", agent)
	}
	if len(d.Runs) > 0 {
		d.Runs = d.Runs[1:]
	}
	return *d, nil
}

func (f *fakeClient) Undrain(_ context.Context, agent string) error {
	f.drained[agent] = nil
	return f.err
}

func (f *fakeClient) Queues(context.Context) ([]ci.QueueDepth, error) { return f.queues, f.err }

func (f *fakeClient) GetConfig(context.Context) (*ci.Config, error) {
	c := f.config
	return &c, f.err
}

func (f *fakeClient) PutConfig(_ context.Context, c *ci.Config, ifVersion int64) (*ci.Config, error) {
	if ifVersion != f.config.Version {
		return nil, ci.Errorf(ci.CodeStale, "stale")
	}
	f.config = *c
	f.config.Version++
	return &f.config, f.err
}

func (f *fakeClient) CreateToken(_ context.Context, t ci.Token) (string, ci.Token, error) {
	t.ID = "id-1"
	f.tokens = append(f.tokens, t)
	return "abc.def.ghi", t, f.err
}

func (f *fakeClient) ListTokens(context.Context) iter.Seq2[ci.Token, error] {
	return seq(f.tokens, f.err)
}

func (f *fakeClient) RevokeToken(_ context.Context, id string) error {
	for i := range f.tokens {
		if f.tokens[i].ID == id {
			f.tokens[i].RevokedAt = noon
			return nil
		}
	}
	return missing("token")
}

// PlanRetention would have one run go and another one stay by a limit of an hour, and nothing by others.
func (f *fakeClient) PlanRetention(_ context.Context, config *ci.Config, job string, limit int) (*ci.RetentionPlan, error) {
	if config == nil {
		config = &f.config
	}
	f.asked = append(f.asked, job)
	p := &ci.RetentionPlan{}
	if config.Keep.Of(ci.KeptConsole).None() {
		return p, f.err
	}
	for _, x := range []ci.Expiry{
		{RunRef: ci.RunRef{Job: "unit", Run: 7}, What: ci.KeptConsole, Bytes: 2048, Done: noon, Reason: "it ended more than 1h ago (keep.console)"},
		{RunRef: ci.RunRef{Job: "unit", Run: 8}, What: ci.KeptConsole, Bytes: 1024, Done: noon, Reason: "it ended more than 1h ago (keep.console)", Kept: "pinned: x\x07"},
	} {
		p.Add(x)
		p.Items = append(p.Items, x)
	}
	return p, f.err
}

func (f *fakeClient) PutPin(_ context.Context, _ ci.RunRef, p ci.Pin) (ci.Pin, error) {
	p.By = "me"
	f.pins = append(f.pins, p)
	return p, f.err
}

func (f *fakeClient) DeletePin(_ context.Context, _ ci.RunRef, name string) error {
	f.pins = slices.DeleteFunc(f.pins, func(p ci.Pin) bool { return p.Name == name })
	return f.err
}

func (f *fakeClient) ListPins(context.Context, ci.RunRef) ([]ci.Pin, error) { return f.pins, f.err }
