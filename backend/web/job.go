package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ci/pkg/ci"
)

type jobPage struct {
	Job    *ci.Job
	Runs   []ci.Run
	Filter jobFilter
	// Newer and Older are addresses; "" where there is nothing.
	Newer, Older string
	// Values are what the form begins with.
	Values    map[string]string
	Branch    string
	Outcomes  []ci.Outcome
	Freestyle string
}

// jobFilter is what the list of a job's runs is limited to.
type jobFilter struct {
	State, Branch, Commit string
	skip                  int
}

func filterOf(q url.Values) jobFilter {
	skip, _ := parseInt(q.Get("skip")) // what is no number is the beginning
	return jobFilter{q.Get("state"), strings.TrimSpace(q.Get("branch")), strings.TrimSpace(q.Get("commit")), int(min(max(skip, 0), 10_000))}
}

func (f jobFilter) at(job string, skip int) string {
	q := url.Values{}
	for k, s := range map[string]string{"state": f.State, "branch": f.Branch, "commit": f.Commit} {
		if s != "" {
			q.Set(k, s)
		}
	}
	if skip > 0 {
		q.Set("skip", strconv.Itoa(skip))
	}
	if len(q) == 0 {
		return jobURL(job)
	}
	return jobURL(job) + "?" + q.Encode()
}

func (f jobFilter) runs(job string) ci.RunFilter {
	rf := ci.RunFilter{Job: job, BranchName: f.Branch, CommitSHA: f.Commit}
	switch {
	case f.State == string(ci.StatusInProgress):
		rf.Status = ci.StatusInProgress
	case slices.Contains(ci.Outcomes, ci.Outcome(f.State)):
		rf.Outcome = ci.Outcome(f.State)
	}
	return rf
}

func (v *visit) job() error {
	name, err := v.jobName()
	if err != nil {
		return err
	}
	p := jobPage{Filter: filterOf(v.r.URL.Query()), Values: map[string]string{}, Outcomes: ci.Outcomes}
	if p.Job, err = v.api.GetJob(v.r.Context(), name); err != nil {
		return err
	}
	skip := p.Filter.skip
	runs, err := first(skip+listed+1, v.api.ListRuns(v.r.Context(), p.Filter.runs(name)))
	if err != nil {
		return err
	}
	if len(runs) > skip+listed {
		runs, p.Older = runs[:skip+listed], p.Filter.at(name, skip+listed)
	}
	if skip > 0 {
		p.Newer = p.Filter.at(name, max(0, skip-listed))
	}
	p.Runs = runs[min(skip, len(runs)):]
	p.Branch = "main"
	for _, param := range p.Job.Parameters {
		p.Values[param.Name] = param.Default
	}
	if i := slices.IndexFunc(p.Runs, func(r ci.Run) bool { return r.BranchName != "" }); i >= 0 {
		p.Branch = p.Runs[i].BranchName
	}
	p.Freestyle = indented(p.Job.Freestyle)
	return v.show("job", frame{Title: name, Tab: "jobs", Live: root + "/live?job=" + url.QueryEscape(name), Page: p})
}

// trigger records a run as the form says.
func (v *visit) trigger() (string, error) {
	name, err := v.jobName()
	if err != nil {
		return "", err
	}
	t := ci.Trigger{Job: name, Parameters: map[string]string{}, Priority: ci.Priority(v.r.PostFormValue("priority")), IdempotencyKey: v.r.PostFormValue("attempt")}
	switch at := strings.TrimSpace(v.r.PostFormValue("at")); {
	case ci.ValidCommit(at):
		t.CommitSHA = at
	case at != "":
		t.BranchName = at
	}
	for key, values := range v.r.PostForm {
		if p, ok := strings.CutPrefix(key, "p."); ok {
			t.Parameters[p] = strings.ReplaceAll(values[0], "\r\n", "\n") // forms send line ends so
		}
	}
	run, err := v.api.Trigger(v.r.Context(), t)
	if err != nil {
		return "", err
	}
	return runURL(run.Job, run.ID), nil
}
