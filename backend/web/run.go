package web

import (
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ci/pkg/ci"
)

type runPage struct {
	Run     *ci.Run
	Phases  []phase
	Results []ci.Result
	// Tests are the results that hold JUnit reports.
	Tests []testSummary
	Queue *ci.QueueReport

	// Bare leaves the console out: a page that has it already fetches the rest anew.
	Bare bool

	visit *visit
}

// Query is what is searched for in the console.
func (p *runPage) Query() string { return strings.TrimSpace(p.visit.r.URL.Query().Get("q")) }

// Console reads the console when the template comes to it, after what stands
// before was sent: the first page of a very large one takes its time.
func (p *runPage) Console() *consolePage {
	p.visit.flush()
	c, err := p.visit.console(p.Run)
	if err != nil {
		c.Error = asError(err)
	}
	return c
}

// phase is one part of a run's timeline. X and Width are in thousandths of the whole.
type phase struct {
	Name     string
	Began    time.Time
	Took     time.Duration
	X, Width int
	Going    bool
}

// phasesOf cuts a run's time, from the trigger to its end or now, into its phases.
func phasesOf(r *ci.Run, now time.Time) []phase {
	t := r.Times
	end := t.Done
	if end.IsZero() {
		end = now
	}
	marks := []struct {
		name string
		at   time.Time
	}{{"planning", t.Triggered}, {"queued", t.Queued}, {"preparing", t.Claimed}, {"running", t.Started}, {"collecting", t.Collecting}}
	total := max(end.Sub(t.Triggered), time.Millisecond)
	var all []phase
	for i, m := range marks {
		if m.at.IsZero() {
			continue
		}
		until := end
		for _, next := range marks[i+1:] {
			if !next.at.IsZero() {
				until = next.at
				break
			}
		}
		took := max(until.Sub(m.at), 0)
		x := int(1000 * m.at.Sub(t.Triggered) / total)
		all = append(all, phase{m.name, m.at, took, x, max(int(1000*took/total), 3), !r.Done() && until.Equal(end)})
	}
	return all
}

func (v *visit) run() error {
	job, id, err := v.ref()
	if err != nil {
		return err
	}
	ctx := v.r.Context()
	p := &runPage{visit: v, Bare: v.r.URL.Query().Has("bare")}
	if p.Run, err = v.api.GetRun(ctx, job, id); err != nil {
		return err
	}
	p.Phases = phasesOf(p.Run, v.Now())
	if p.Results, err = v.api.Results(ctx, job, id); err != nil {
		return err
	}
	p.Results = slices.DeleteFunc(p.Results, func(r ci.Result) bool { return r.Name == ci.ConsoleResult })
	if mood(*p.Run) == "wait" {
		if p.Queue, err = v.api.Explain(ctx, job, id); err != nil && ci.CodeOf(err) != ci.CodeConflict {
			return err // a run that was claimed meanwhile waits no more
		}
	}
	if p.Run.Done() {
		p.Tests = v.summaries(ctx, p.Run, p.Results)
	}
	return v.stream("run", frame{Title: job + " #" + strconv.FormatInt(id, 10), Tab: "jobs", Page: p})
}

func (v *visit) abort() (string, error) {
	job, id, err := v.ref()
	if err != nil {
		return "", err
	}
	if _, err := v.api.Abort(v.r.Context(), job, id); err != nil {
		return "", err
	}
	return runURL(job, id) + "?done=aborted", nil
}

// rerun triggers a run with the commit, parameters and priority of an earlier
// one. "newest" takes the newest commit of its branch.
func (v *visit) rerun() (string, error) {
	job, id, err := v.ref()
	if err != nil {
		return "", err
	}
	earlier, err := v.api.GetRun(v.r.Context(), job, id)
	if err != nil {
		return "", err
	}
	t := ci.Trigger{Job: job, CommitSHA: earlier.CommitSHA, Parameters: maps.Clone(earlier.Parameters), Priority: earlier.Priority, IdempotencyKey: v.r.PostFormValue("attempt")}
	if v.r.PostFormValue("newest") != "" || t.CommitSHA == "" { // a run that ended before its commit was known has its branch only
		t.CommitSHA, t.BranchName = "", earlier.BranchName
	}
	run, err := v.api.Trigger(v.r.Context(), t)
	if err != nil {
		return "", err
	}
	return runURL(run.Job, run.ID), nil
}

// download sends a result to be saved. What a run has made is a stranger's, so no
// browser shows it as a page of ours.
func (v *visit) download() error {
	job, id, err := v.ref()
	if err != nil {
		return err
	}
	name := v.r.PathValue("result")
	if ci.ValidateName(name) != nil {
		return ci.Errorf(ci.CodeNotFound, "there is no such result")
	}
	body, kind, filename, size, err := v.api.OpenResult(v.r.Context(), job, id, name)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was only read
	h := v.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if filename == "" {
		filename = name
	}
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": filename}))
	if size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	v.w.WriteHeader(http.StatusOK)
	return v.copy(body)
}
