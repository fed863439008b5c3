package engine

import (
	"context"

	"ci/pkg/ci"
)

// MaxDepth is how many runs may stand above one: a run that nobody's script
// triggered has none. It ends jobs that trigger themselves, directly or through others.
const MaxDepth = 8

// checkParents refuses triggers of runs that are over, or too deep.
func (e *Engine) checkParents(ctx context.Context, ts []ci.Trigger) error {
	checked := map[ci.RunRef]bool{}
	for _, t := range ts {
		if t.Parent == nil || checked[*t.Parent] {
			continue
		}
		checked[*t.Parent] = true
		if err := e.checkParent(ctx, *t.Parent); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) checkParent(ctx context.Context, ref ci.RunRef) error {
	parent, err := e.Store.GetRun(ctx, ref.Job, ref.Run)
	if err != nil {
		return err
	}
	if parent.Done() {
		return ci.Errorf(ci.CodeConflict, "run %s is done (%s), so nothing of it can trigger runs", ref, parent.Outcome)
	}
	depth := 1
	for r := parent; r.Parent != nil; depth++ {
		if depth == MaxDepth {
			return ci.Errorf(ci.CodeConflict, "run %s can't trigger runs: %d runs stand above it already, which is the most; does a job trigger itself?", ref, MaxDepth)
		}
		r, err = e.Store.GetRun(ctx, r.Parent.Job, r.Parent.Run)
		if ci.CodeOf(err) == ci.CodeNotFound {
			return nil // pruned, long ago: what is left of the chain is short enough
		}
		if err != nil {
			return err
		}
	}
	return nil
}
