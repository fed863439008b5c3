package web

import (
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ci/pkg/ci"
)

// agentSilence is how long an agent may be silent before the page says so. Agents
// report every few seconds.
const agentSilence = time.Minute

// charted is the time that the agents' charts go back.
const charted = time.Hour

type agentsPage struct {
	Agents []agentView
	// Began is where the charts begin.
	Began time.Time
}

// agentView is an agent, what it holds, and what it did in the last hour.
type agentView struct {
	ci.Agent
	Alive bool
	// Drain is the order that it stands under; nil for none.
	Drain *ci.Drain
	Held  []ci.Run
	// CPU, Mem and Load are how full it is, in percent.
	CPU, Mem, Load int
	Bars           []bar
	Rows           int // of the chart
	Refusals       [][2]string
}

// bar is a run in the chart of an agent. X and Width are in thousandths of the time, Row counts from above.
type bar struct {
	Run           ci.Run
	X, Width, Row int
}

// Y is where the bar stands; each row is 10 high.
func (b bar) Y() int { return 10*b.Row + 1 }

// Height is that of the chart.
func (a *agentView) Height() int { return max(10*a.Rows, 10) }

func (v *visit) agents() error {
	now := v.Now()
	p := agentsPage{Began: now.Add(-charted)}
	var agents []ci.Agent
	var runs []ci.Run
	g, ctx := errgroup.WithContext(v.r.Context())
	g.Go(func() (err error) { agents, err = v.api.ListAgents(ctx); return err })
	g.Go(func() (err error) {
		runs, err = first(window, v.api.ListRuns(ctx, ci.RunFilter{Since: now.Add(-2 * charted)}))
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	older, err := v.olderHeld(agents, runs)
	if err != nil {
		return err
	}
	for _, a := range agents {
		p.Agents = append(p.Agents, viewOf(a, runs, older, now))
	}
	if err := v.drains(p.Agents); err != nil {
		return err
	}
	return v.show("agents", frame{Title: "Agents", Tab: "agents", Live: root + "/live", Page: p})
}

// mostOlder is how many runs, that agents hold and the list of new ones has not, are asked for.
const mostOlder = 100

// olderHeld are runs that agents say they hold and that are not among runs: they
// began long ago, or many have come since.
func (v *visit) olderHeld(agents []ci.Agent, runs []ci.Run) (older []ci.Run, err error) {
	var missing []int64
	for i := range agents {
		for _, id := range agents[i].Runs {
			if !slices.ContainsFunc(runs, func(r ci.Run) bool { return r.ID == id }) {
				missing = append(missing, id)
			}
		}
	}
	missing = missing[:min(len(missing), mostOlder)]
	found := make([]*ci.Run, len(missing))
	g, ctx := errgroup.WithContext(v.r.Context())
	g.SetLimit(4)
	for i, id := range missing {
		g.Go(func() error {
			r, err := v.api.FindRun(ctx, id)
			if ci.CodeOf(err) == ci.CodeNotFound {
				return nil // gone, or of a job that is not for whoever looks
			}
			found[i] = r
			return err
		})
	}
	err = g.Wait()
	for _, r := range found {
		if r != nil {
			older = append(older, *r)
		}
	}
	return older, err
}

// drains asks under which order to drain each agent stands.
func (v *visit) drains(agents []agentView) error {
	g, ctx := errgroup.WithContext(v.r.Context())
	g.SetLimit(4)
	for i := range agents {
		a := &agents[i]
		g.Go(func() error {
			d, err := v.api.GetDrain(ctx, a.ID)
			if ci.CodeOf(err) == ci.CodeNotFound {
				return nil
			}
			a.Drain = &d
			return err
		})
	}
	return g.Wait()
}

// viewOf describes an agent by runs, the newest, and by older ones that some agent holds.
func viewOf(a ci.Agent, runs, older []ci.Run, now time.Time) agentView {
	view := agentView{Agent: a, Alive: a.Alive(now, agentSilence)}
	view.CPU = percent(a.CPUs-a.FreeCPUs, a.CPUs)
	view.Mem = percent(float64(a.Memory-a.FreeMemory), float64(a.Memory))
	view.Load = percent(a.CPULoad, 1)
	for _, class := range slices.Sorted(maps.Keys(a.Refusals)) {
		view.Refusals = append(view.Refusals, [2]string{class, a.Refusals[class]})
	}
	for _, r := range slices.Concat(runs, older) {
		if r.Agent != a.ID {
			continue
		}
		if !r.Done() {
			view.Held = append(view.Held, r)
		}
		view.add(r, now)
	}
	return view
}

// add places a run in the first row of the chart that is free for it. Runs come newest first.
func (a *agentView) add(r ci.Run, now time.Time) {
	const whole = 1000
	from, until := r.Times.Claimed, r.Times.Done
	if until.IsZero() {
		until = now
	}
	if from.IsZero() || now.Sub(until) >= charted {
		return
	}
	place := func(t time.Time) int { return int(whole * max(charted-now.Sub(t), 0) / charted) }
	b := bar{Run: r, X: place(from)}
	b.Width = max(place(until)-b.X, 3)
	for free := false; !free; {
		free = true
		for _, other := range a.Bars {
			if other.Row == b.Row && b.X < other.X+other.Width && other.X < b.X+b.Width {
				b.Row, free = b.Row+1, false
				break
			}
		}
	}
	const most = 16
	if b.Row < most {
		a.Bars = append(a.Bars, b)
		a.Rows = max(a.Rows, b.Row+1)
	}
}

// drain orders an agent to drain, or takes that back.
func (v *visit) drain() (string, error) {
	agent := v.r.PathValue("agent")
	if v.r.PostFormValue("undo") != "" {
		return root + "/agents?done=undrain", v.api.Undrain(v.r.Context(), agent)
	}
	d := ci.Drain{Reason: strings.TrimSpace(v.r.PostFormValue("reason")), Then: ci.DrainWait}
	_, err := v.api.Drain(v.r.Context(), agent, d)
	return root + "/agents?done=drain", err
}
