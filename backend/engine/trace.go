package engine

import (
	"context"

	"ci/pkg/ci"
)

// traceOf is who triggers a run in a distributed trace: who says so, else the
// script that triggers it, else a new trace if spans are sent.
func (e *Engine) traceOf(ctx context.Context, t ci.Trigger, script *ci.Trace) *ci.Trace {
	from := t.Trace
	if from == nil {
		from = script
	}
	if from == nil && e.NewTrace != nil {
		from = e.NewTrace(ctx, t.Job)
	}
	if from == nil {
		return nil
	}
	own := *from
	own.Recorded = e.NewTrace != nil
	return &own
}
