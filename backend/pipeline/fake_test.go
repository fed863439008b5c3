package pipeline

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"ci/pkg/ci"
)

// world is an API in memory: runs that end when they are told to, or by
// themselves, and are triggered once for each key.
type world struct {
	mu   sync.Mutex
	runs []*ci.Run
	keys map[string]int64
	// triggered counts what each key was used for with effect.
	triggered map[string]int
	// outcomes are those of runs by job; others succeed.
	outcomes map[string]ci.Outcome
	// held are jobs whose runs do not end by themselves.
	held map[string]bool
	// unreachable are jobs whose triggers nobody answers.
	unreachable map[string]bool
	// results are texts by "job:result".
	results map[string]string
	// before and after are asked around each operation; an error is answered instead. nil: fine.
	before, after func(operation string) error
	listeners     []chan ci.Event
	aborts        int
	pins          map[ci.RunRef][]string
	config        ci.Config
}

func newWorld() *world {
	return &world{keys: map[string]int64{}, triggered: map[string]int{}, outcomes: map[string]ci.Outcome{}, held: map[string]bool{}, unreachable: map[string]bool{}, results: map[string]string{}, pins: map[ci.RunRef][]string{}}
}

func around[T any](w *world, operation string, fn func() (T, error)) (T, error) {
	var zero T
	if w.before != nil {
		if err := w.before(operation); err != nil {
			return zero, err
		}
	}
	w.mu.Lock()
	v, err := fn()
	w.mu.Unlock()
	if w.after != nil {
		if lost := w.after(operation); lost != nil {
			return zero, lost
		}
	}
	return v, err
}

func (w *world) Trigger(_ context.Context, t ci.Trigger) (*ci.Run, error) {
	return around(w, "trigger", func() (*ci.Run, error) {
		if err := t.Validate(); err != nil {
			return nil, err
		}
		if w.unreachable[t.Job] {
			return nil, ci.Errorf(ci.CodeUnavailable, "nobody answers")
		}
		if id, ok := w.keys[t.Job+" "+t.IdempotencyKey]; ok {
			if id == 0 {
				return nil, ci.Errorf(ci.CodeConflict, "the key was withdrawn")
			}
			r := *w.runs[id-1]
			return &r, nil
		}
		if t.Job == "missing" {
			return nil, ci.Errorf(ci.CodeNotFound, "there is no job %q", t.Job)
		}
		r := &ci.Run{ID: int64(len(w.runs) + 1), Job: t.Job, Status: ci.StatusInProgress, BranchName: t.BranchName, Parameters: t.Parameters, Trace: t.Trace, CommitSHA: strings.Repeat("ab", 20)}
		w.runs = append(w.runs, r)
		w.keys[t.Job+" "+t.IdempotencyKey] = r.ID
		w.triggered[t.IdempotencyKey]++
		if !w.held[t.Job] {
			w.end(r, w.outcomes[t.Job])
		}
		out := *r
		return &out, nil
	})
}

func (w *world) Withdraw(_ context.Context, job, key string) (*ci.Run, error) {
	return around(w, "withdraw", func() (*ci.Run, error) {
		id := w.keys[job+" "+key]
		if id == 0 {
			w.keys[job+" "+key] = 0
			return nil, nil
		}
		r := *w.runs[id-1]
		return &r, nil
	})
}

// end ends a run. The lock is held.
func (w *world) end(r *ci.Run, o ci.Outcome) {
	if o == "" {
		o = ci.OutcomeSucceeded
	}
	code := 0
	r.Status, r.Outcome, r.Reason, r.ExitCode, r.Times.Done = ci.StatusDone, o, "as told", &code, time.Now()
	for _, l := range w.listeners {
		select {
		case l <- ci.Event{Type: ci.EventRunDone, Run: r.ID, Job: r.Job, Outcome: o}:
		default: // who does not listen misses it
		}
	}
}

// finish ends all runs of a job that have not ended.
func (w *world) finish(job string, o ci.Outcome) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, r := range w.runs {
		if r.Job == job && !r.Done() {
			w.end(r, o)
			n++
		}
	}
	return n
}

// jobs lists the jobs that were triggered, in order.
func (w *world) jobs() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, r := range w.runs {
		list = append(list, r.Job)
	}
	return list
}

func (w *world) find(job string, id int64) (*ci.Run, error) {
	if id < 1 || id > int64(len(w.runs)) || w.runs[id-1].Job != job {
		return nil, ci.Errorf(ci.CodeNotFound, "job %q has no run %d", job, id)
	}
	return w.runs[id-1], nil
}

func (w *world) GetRun(_ context.Context, job string, id int64) (*ci.Run, error) {
	return around(w, "get", func() (*ci.Run, error) {
		r, err := w.find(job, id)
		if err != nil {
			return nil, err
		}
		out := *r
		return &out, nil
	})
}

func (w *world) Abort(_ context.Context, job string, id int64) (*ci.Run, error) {
	return around(w, "abort", func() (*ci.Run, error) {
		r, err := w.find(job, id)
		switch {
		case err != nil:
			return nil, err
		case r.Done():
			return nil, ci.Errorf(ci.CodeConflict, "run %d is done", id)
		}
		w.aborts++
		w.end(r, ci.OutcomeAborted)
		out := *r
		return &out, nil
	})
}

func (w *world) Results(_ context.Context, job string, id int64) ([]ci.Result, error) {
	return around(w, "results", func() ([]ci.Result, error) {
		if _, err := w.find(job, id); err != nil {
			return nil, err
		}
		var list []ci.Result
		for key, text := range w.results {
			if of, name, _ := strings.Cut(key, ":"); of == job {
				kind := "text/plain"
				if strings.HasPrefix(text, "PK") {
					kind = "application/zip"
				}
				list = append(list, ci.Result{Name: name, ContentType: kind, Size: int64(len(text))})
			}
		}
		slices.SortFunc(list, func(a, b ci.Result) int { return strings.Compare(a.Name, b.Name) })
		return list, nil
	})
}

func (w *world) OpenResult(_ context.Context, job string, _ int64, name string) (io.ReadCloser, string, string, int64, error) {
	text, err := around(w, "open", func() (string, error) { return w.results[job+":"+name], nil })
	return io.NopCloser(strings.NewReader(text)), "text/plain", name, int64(len(text)), err
}

func (w *world) Events(ctx context.Context, _ int64) iter.Seq2[ci.Event, error] {
	l := make(chan ci.Event, 1000)
	w.mu.Lock()
	w.listeners = append(w.listeners, l)
	w.mu.Unlock()
	return func(yield func(ci.Event, error) bool) {
		for {
			select {
			case e := <-l:
				if !yield(e, nil) {
					return
				}
			case <-ctx.Done():
				yield(ci.Event{}, ctx.Err())
				return
			}
		}
	}
}

func (w *world) PutPin(_ context.Context, run ci.RunRef, p ci.Pin) (ci.Pin, error) {
	return around(w, "pin", func() (ci.Pin, error) {
		if err := p.Validate(time.Now()); err != nil {
			return p, err
		}
		if _, err := w.find(run.Job, run.Run); err != nil {
			return p, err
		}
		if !slices.Contains(w.pins[run], p.Name) {
			w.pins[run] = append(w.pins[run], p.Name)
		}
		return p, nil
	})
}

func (w *world) DeletePin(_ context.Context, run ci.RunRef, name string) error {
	_, err := around(w, "unpin", func() (any, error) {
		w.pins[run] = slices.DeleteFunc(w.pins[run], func(n string) bool { return n == name })
		return nil, nil
	})
	return err
}

func (w *world) GetConfig(context.Context) (*ci.Config, error) {
	return around(w, "config", func() (*ci.Config, error) { c := w.config; return &c, nil })
}

// pinned lists the jobs of pinned runs, once for each pin.
func (w *world) pinned() (jobs []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for run, names := range w.pins {
		for range names {
			jobs = append(jobs, run.Job)
		}
	}
	slices.Sort(jobs)
	return jobs
}
