package web

import (
	"context"
	"iter"

	"golang.org/x/sync/errgroup"

	"ci/pkg/ci"
)

const (
	// window is how many of the newest runs the overviews are made of.
	window = 400
	// listed is how many runs a list shows at once.
	listed = 50
	// strip is how many runs of a job are shown as small squares.
	strip = 12
)

// first takes the first n of what a list yields.
func first[T any](n int, seq iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		if all = append(all, v); len(all) >= n {
			break
		}
	}
	return all, nil
}

// jobLine is a job and its newest runs.
type jobLine struct {
	ci.Job
	Runs []ci.Run // newest first, at most strip
}

type dashboardPage struct {
	Active, Recent   []ci.Run
	Jobs             []jobLine
	More             int // jobs that are not shown
	Agents           []ci.Agent
	Waiting, Running int
	Succeeded, Ended int // of the window's runs
	Alive            int
	CPUs, FreeCPUs   float64
}

func (v *visit) dashboard() error {
	var p dashboardPage
	var jobs []ci.Job
	var runs, active []ci.Run
	g, ctx := errgroup.WithContext(v.r.Context())
	g.Go(func() (err error) { jobs, err = first(1000, v.api.ListJobs(ctx)); return err })
	g.Go(func() (err error) { runs, err = first(window, v.api.ListRuns(ctx, ci.RunFilter{})); return err })
	g.Go(func() (err error) {
		active, err = first(window, v.api.ListRuns(ctx, ci.RunFilter{Status: ci.StatusInProgress}))
		return err
	})
	g.Go(func() (err error) { p.Agents, err = v.api.ListAgents(ctx); return err })
	if err := g.Wait(); err != nil {
		return err
	}
	p.count(runs, active, v)
	p.Jobs = jobLines(jobs, runs)
	if len(p.Jobs) > listed {
		p.Jobs, p.More = p.Jobs[:listed], len(p.Jobs)-listed
	}
	return v.show("dashboard", frame{Title: "Dashboard", Tab: "dashboard", Live: root + "/live", Page: p})
}

func (p *dashboardPage) count(runs, active []ci.Run, v *visit) {
	for _, r := range active {
		if mood(r) == "wait" {
			p.Waiting++
		} else {
			p.Running++
		}
	}
	p.Active = active[:min(len(active), listed)]
	for _, r := range runs {
		if !r.Done() {
			continue
		}
		p.Ended++
		if r.Outcome == ci.OutcomeSucceeded {
			p.Succeeded++
		}
		if len(p.Recent) < listed/2 {
			p.Recent = append(p.Recent, r)
		}
	}
	for _, a := range p.Agents {
		if a.Alive(v.Now(), agentSilence) {
			p.Alive++
			p.CPUs += a.CPUs
			p.FreeCPUs += a.FreeCPUs
		}
	}
}

// jobLines gives each job its newest runs, those with the newest first.
func jobLines(jobs []ci.Job, runs []ci.Run) []jobLine {
	at := map[string]int{}
	lines := make([]jobLine, 0, len(jobs))
	known := map[string]ci.Job{}
	for _, j := range jobs {
		known[j.Name] = j
	}
	for _, r := range runs {
		i, ok := at[r.Job]
		if j, is := known[r.Job]; !ok && is {
			i = len(lines)
			at[r.Job], lines, ok = i, append(lines, jobLine{Job: j}), true
		}
		if ok && len(lines[i].Runs) < strip {
			lines[i].Runs = append(lines[i].Runs, r)
		}
	}
	for _, j := range jobs {
		if _, ok := at[j.Name]; !ok {
			lines = append(lines, jobLine{Job: j})
		}
	}
	return lines
}

// complete asks for the newest runs of jobs that had none in the window.
func (v *visit) complete(ctx context.Context, lines []jobLine) error {
	const atMost = 40
	asked := 0
	for i := range lines {
		if len(lines[i].Runs) > 0 || asked == atMost {
			continue
		}
		asked++
		runs, err := first(strip, v.api.ListRuns(ctx, ci.RunFilter{Job: lines[i].Name}))
		if err != nil {
			return err
		}
		lines[i].Runs = runs
	}
	return nil
}

func (v *visit) jobs() error {
	ctx := v.r.Context()
	jobs, err := first(5000, v.api.ListJobs(ctx))
	if err != nil {
		return err
	}
	runs, err := first(window, v.api.ListRuns(ctx, ci.RunFilter{}))
	if err != nil {
		return err
	}
	lines := jobLines(jobs, runs)
	if len(runs) == window {
		err = v.complete(ctx, lines)
	}
	if err != nil {
		return err
	}
	return v.show("jobs", frame{Title: "Jobs", Tab: "jobs", Live: root + "/live", Page: lines})
}
