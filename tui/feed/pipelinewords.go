package feed

import (
	"time"

	"ci/pkg/ci"
)

// PipelineAsRun is a run of a pipeline as screens know states of runs.
func PipelineAsRun(r *ci.PipelineRun) *ci.Run {
	return &ci.Run{Status: r.Status, Outcome: r.Outcome, Phase: ci.PhaseRunning, AbortRequestedAt: r.AbortRequestedAt}
}

// PipelineTook is how long a run of a pipeline has taken.
func PipelineTook(r *ci.PipelineRun, now time.Time) time.Duration {
	if r.Finished() {
		now = r.Done
	}
	return max(0, now.Sub(r.Triggered))
}

// CallName is a call in a few words.
func CallName(c *ci.PipelineCall) string {
	if c.Kind == ci.CallRun || c.Kind == ci.CallPrint {
		return c.Title
	}
	return string(c.Kind) + " " + c.Title
}

// CallState says in a word how a call stands.
func CallState(c *ci.PipelineCall) string {
	switch {
	case Asks(c):
		return "asks"
	case !c.Done && c.Kind == ci.CallRun && c.Run != nil:
		return "running"
	case !c.Done:
		return "waiting"
	case c.Reused:
		return "reused"
	case c.Kind == ci.CallPrint:
		return "printed"
	case c.Kind == ci.CallApprove && c.Outcome == ci.OutcomeSucceeded:
		return "approved"
	case c.Kind == ci.CallApprove && c.By != "":
		return "rejected"
	}
	return string(c.Outcome)
}

// Asks says whether a call waits for somebody's yes or no.
func Asks(c *ci.PipelineCall) bool { return c.Kind == ci.CallApprove && !c.Done }
