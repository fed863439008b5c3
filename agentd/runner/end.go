package runner

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"ci/pkg/ci"
)

// exited turns the end of a script into the end of its run.
func exited(x Exit, spec *ci.Spec) ci.End {
	code := x.Code
	if code == 0 && x.Signal == "" {
		return ci.End{Outcome: ci.OutcomeSucceeded, Reason: "The script succeeded.", ExitCode: &code}
	}
	end := ci.End{Outcome: ci.OutcomeFailed, ExitCode: &code}
	how := fmt.Sprintf("The script exited with status %d", code)
	if x.Signal != "" {
		how = "The script was killed by SIG" + strings.TrimPrefix(x.Signal, "SIG")
	}
	switch {
	case x.OOMKilled:
		end.Reason = how + ": the run used more than its memory limit" + memoryLimit(spec) + "; raise resources.memory in the job file, or use less."
	case x.Signal != "":
		end.Reason = how + "; no one asked for it here, so look in the console for what sent the signal."
	case code == 126 || code == 127:
		end.Reason = how + "; a command was not found or could not be executed. The end of its console names it."
	default:
		end.Reason = how + "; the end of its console says why."
	}
	return end
}

func memoryLimit(spec *ci.Spec) string {
	if spec == nil || spec.Resources.Memory == 0 {
		return ""
	}
	return " of " + ci.Bytes(spec.Resources.Memory)
}

// unprepared is the end of a run that never had a container.
func (r *Runner) unprepared(err error) ci.End {
	if cause, why := r.control.asked(); cause != causeNone {
		return r.cutShort(cause, why)
	}
	r.cfg.Doubt()
	end := ci.End{Outcome: ci.OutcomeError, Reason: sentence("The run could not be prepared: ", err)}
	r.console.say("%s", end.Reason)
	return end
}

// containerLost is the end of a run whose container went away under its script.
func (r *Runner) containerLost(err error) ci.End {
	r.cfg.Doubt()
	end := ci.End{Outcome: ci.OutcomeError, Reason: sentence("The run's container was lost: ", err)}
	r.console.say("%s", end.Reason)
	return end
}

// cutShort is the end of a run that somebody asked to end.
func (r *Runner) cutShort(c cause, why string) ci.End {
	where := "."
	if !r.control.scriptStarted() {
		where = ", before its script began."
	}
	if c == causeAbort {
		return ci.End{Outcome: ci.OutcomeAborted, Reason: cmp.Or(why, "The run was aborted on request"+where)}
	}
	advice := " Raise timeout in the job file, or find out in the console what takes so long."
	return ci.End{
		Outcome: ci.OutcomeTimedOut,
		Reason:  "The run reached its timeout of " + r.work.Timeout.String() + where + advice,
	}
}

// farewell is the console's line at the time the script is asked to end.
func (r *Runner) farewell(c cause, why string) string {
	what := "timeout: the run reached its timeout of " + r.work.Timeout.String()
	if c == causeAbort {
		what = "abort: " + strings.TrimSuffix(cmp.Or(why, "the run is aborted on request"), ".")
	}
	if r.work.AbortGrace <= 0 {
		return what + "; the script is killed"
	}
	return what + "; the script has " + r.work.AbortGrace.Round(time.Millisecond).String() + " to end"
}

// sentence returns what an error says to people. The sentences of ci.Error
// stand for themselves; others get a beginning.
func sentence(beginning string, err error) string {
	var e *ci.Error
	text := err.Error()
	if !errors.As(err, &e) {
		text = beginning + text
	}
	if strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

// maxReason is how long a reason may get, in bytes. It quotes what a run says.
const maxReason = 4 << 10

// brief makes a reason fit for a database and a terminal.
func brief(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason] + " …"
	}
	return printable(strings.ReplaceAll(reason, "\n", " "))
}
