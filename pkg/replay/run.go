package replay

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"go.starlark.net/starlark"

	"ci/pkg/ci"
)

// Run is a run as a program sees it. Who asks for what is not known yet waits.
type Run struct {
	m     *machine
	call  *Call
	args  RunArgs
	value RunValue
}

var _ starlark.HasAttrs = (*Run)(nil)

// String is "unit-test/12", or the job alone of one that was refused. Like
// Truth it can't return an error: until the answer to its trigger is recorded it
// stops the program, which else would see one text now and another one later.
func (r *Run) String() string {
	if r.answered() != nil {
		r.m.stop("waits")
	}
	return r.name()
}

// name is what String says when it is known.
func (r *Run) name() string {
	if r.value.ID == 0 {
		return r.args.Job
	}
	return r.args.Job + "/" + strconv.FormatInt(r.value.ID, 10)
}

// answered returns nil once the API's answer to the trigger is recorded. What
// the program makes of it depends on the run.
func (r *Run) answered() error {
	if r.value.ID == 0 && !r.call.Done {
		r.m.waitFor(r.call)
		return errSuspend
	}
	r.m.saw(r.call)
	return nil
}

// Type is "run".
func (r *Run) Type() string { return "run" }

// Freeze does nothing: a run can't be changed.
func (r *Run) Freeze() {}

// Hash is that of its call.
func (r *Run) Hash() (uint32, error) { return starlark.String(r.call.ID).Hash() }

// Truth says whether the run has succeeded. It can't return an error, so while
// that is not known it stops the program at its next step.
func (r *Run) Truth() starlark.Bool {
	if r.await() != nil {
		r.m.stop("waits")
		return false
	}
	return r.value.Outcome == ci.OutcomeSucceeded
}

// await returns nil once the run is done.
func (r *Run) await() error {
	r.m.known[r.call.ID] = true
	return r.m.await(r.call)
}

// how is the end of a sentence that begins with the run: "failed: exit status 1".
func (r *Run) how() string {
	how := map[ci.Outcome]string{
		ci.OutcomeFailed: "failed", ci.OutcomeError: "could not be carried out", ci.OutcomeAborted: "was aborted",
		ci.OutcomeTimedOut: "timed out", ci.OutcomeLost: "was lost", ci.OutcomeSucceeded: "succeeded",
	}[r.value.Outcome]
	if r.value.Reason == "" {
		return how
	}
	return how + ": " + r.value.Reason
}

// AttrNames lists what a program can ask of a run.
func (r *Run) AttrNames() []string {
	return []string{"branch", "commit", "exit_code", "id", "job", "ok", "outcome", "params", "reason"}
}

// Attr answers; nil is no such attribute.
func (r *Run) Attr(name string) (starlark.Value, error) {
	switch name {
	case "job":
		return starlark.String(r.args.Job), nil
	case "params":
		d := starlark.NewDict(len(r.args.Parameters))
		for _, k := range slices.Sorted(maps.Keys(r.args.Parameters)) {
			_ = d.SetKey(starlark.String(k), starlark.String(r.args.Parameters[k])) // a fresh dict takes every string
		}
		return d, nil
	case "id":
		if err := r.answered(); err != nil {
			return nil, err
		}
		return starlark.MakeInt64(r.value.ID), nil
	case "branch", "commit", "exit_code", "ok", "outcome", "reason":
		if err := r.await(); err != nil {
			return nil, err
		}
		return r.ended(name), nil
	}
	return nil, nil
}

func (r *Run) ended(name string) starlark.Value {
	switch name {
	case "branch":
		return starlark.String(r.value.Branch)
	case "commit":
		return starlark.String(r.value.Commit)
	case "ok":
		return starlark.Bool(r.value.Outcome == ci.OutcomeSucceeded)
	case "outcome":
		return starlark.String(r.value.Outcome)
	case "reason":
		return starlark.String(r.value.Reason)
	}
	if r.value.ExitCode == nil {
		return starlark.None
	}
	return starlark.MakeInt(*r.value.ExitCode)
}

// failed is the failure of runs that did not succeed.
func failed(runs []*Run) error {
	reason := fmt.Sprintf("%s %s", runs[0].name(), runs[0].how())
	if n := len(runs) - 1; n > 0 {
		reason += fmt.Sprintf("; and %d more did not succeed", n)
	}
	return &failure{cut(reason)}
}
