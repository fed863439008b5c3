package engine

import (
	"context"

	"ci/pkg/ci"
)

// MaxDepth is how many runs may stand above one: a run that nobody's script
// triggered has none. It ends jobs that trigger themselves, directly or through others.
const MaxDepth = 8

// scripts says where the scripts of runs are in their traces; nil for nowhere.
type scripts map[ci.RunRef]*ci.Trace

func (s scripts) of(run *ci.RunRef) *ci.Trace {
	if run == nil {
		return nil
	}
	return s[*run]
}

// checkParents refuses triggers of runs that are over, or too deep, and returns
// where the scripts are that trigger.
func (e *Engine) checkParents(ctx context.Context, ts []ci.Trigger) (scripts, error) {
	checked := scripts{}
	for _, t := range ts {
		if t.Parent == nil {
			continue
		}
		if _, is := checked[*t.Parent]; is {
			continue
		}
		parent, err := e.Store.GetRun(ctx, t.Parent.Job, t.Parent.Run)
		if err != nil {
			return nil, err
		}
		if err := e.checkParent(ctx, parent); err != nil {
			return nil, err
		}
		checked[*t.Parent] = parent.ScriptTrace()
	}
	return checked, nil
}

func (e *Engine) checkParent(ctx context.Context, parent *ci.Run) (err error) {
	ref := parent.Ref()
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
