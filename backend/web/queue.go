package web

import (
	"slices"

	"golang.org/x/sync/errgroup"

	"ci/pkg/ci"
)

type queuePage struct {
	Lanes []ci.QueueDepth
	Runs  []waitingRun
	More  int
}

// waitingRun is a run that waits, and why.
type waitingRun struct {
	ci.Run
	Report *ci.QueueReport
}

// maxExplained is how many waiting runs are shown with their reasons.
const maxExplained = 50

func (v *visit) queue() error {
	ctx := v.r.Context()
	var p queuePage
	lanes, err := v.api.Queues(ctx)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if l.Queued > 0 {
			p.Lanes = append(p.Lanes, l)
		}
	}
	active, err := first(5000, v.api.ListRuns(ctx, ci.RunFilter{Status: ci.StatusInProgress}))
	if err != nil {
		return err
	}
	slices.Reverse(active) // who waits longest first
	for _, r := range active {
		switch {
		case mood(r) != "wait":
		case len(p.Runs) == maxExplained:
			p.More++
		default:
			p.Runs = append(p.Runs, waitingRun{Run: r})
		}
	}
	if err := v.explain(p.Runs); err != nil {
		return err
	}
	return v.show("queue", frame{Title: "Queue", Tab: "queue", Live: root + "/live", Page: p})
}

// explain asks why each run waits.
func (v *visit) explain(runs []waitingRun) error {
	g, ctx := errgroup.WithContext(v.r.Context())
	g.SetLimit(4)
	for i := range runs {
		r := &runs[i]
		g.Go(func() error {
			report, err := v.api.Explain(ctx, r.Job, r.ID)
			if code := ci.CodeOf(err); code == ci.CodeConflict || code == ci.CodeNotFound {
				return nil // it waits no more
			}
			r.Report = report
			return err
		})
	}
	return g.Wait()
}
