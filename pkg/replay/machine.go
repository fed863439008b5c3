package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"go.starlark.net/starlark"

	"ci/pkg/ci"
)

// errSuspend unwinds a program that needs to know what is not known yet.
var errSuspend = errors.New("the program waits")

// machine is one replay.
type machine struct {
	in       Input
	thread   *starlark.Thread
	recorded map[string]*Call
	// visited are the calls that this replay has come to; made those of them that are new.
	visited map[string]*Call
	made    []Call
	runs    []*Run
	// known are the run calls whose end the program has asked for.
	known    map[string]bool
	waiting  []string
	branch   *branch
	declared []ci.PipelineParameter
	asked    bool // params was called
	// stopped says that a value without a way to return an error has to unwind the
	// program: its truth is not known yet.
	stopped bool
	steps   bool  // there were too many
	broken  error // what a print, which can't return one, has met
}

// stop unwinds the program at its next step.
func (m *machine) stop(why string) {
	m.stopped = true
	m.thread.Cancel(why)
}

// branch is one course of the program: the main one, or a function that all
// carries out beside others.
type branch struct {
	prefix string
	next   int
	// frontier are the calls whose ends this course has seen, less those that
	// came before one of them.
	frontier []string
}

// call comes to the next call of the present branch. It is the recorded one, or a new one.
func (m *machine) call(kind ci.CallKind, title string, arguments any, line int) (*Call, error) {
	return m.callAt(m.place(), kind, title, arguments, line)
}

// place is the id of the present branch's next call.
func (m *machine) place() string {
	id := m.branch.prefix + strconv.Itoa(m.branch.next)
	m.branch.next++
	return id
}

func (m *machine) callAt(id string, kind ci.CallKind, title string, arguments any, line int) (*Call, error) {
	encoded, err := json.Marshal(arguments)
	if err != nil {
		return nil, err
	}
	if m.in.Probe {
		m.stop("probe")
		return nil, errSuspend
	}
	if c := m.recorded[id]; c != nil {
		if c.Kind != kind || !bytes.Equal(c.Args, encoded) {
			return nil, &divergence{fmt.Sprintf("%s:%d: call %s was %s(%s) before and is %s(%s) now: the program does not do the same every time, so it can't be continued",
				m.file(), line, id, c.Kind, cut(string(c.Args)), kind, cut(string(encoded)))}
		}
		m.visited[id] = c
		return c, nil
	}
	return m.create(Call{ID: id, Kind: kind, Title: cut(title), Args: encoded, After: slices.Clone(m.branch.frontier), Line: line})
}

func (m *machine) create(c Call) (*Call, error) {
	if len(c.Args) > MaxArgs {
		return nil, fmt.Errorf("%s: its arguments have %d bytes; at most %d are allowed", c.Kind, len(c.Args), MaxArgs)
	}
	if len(m.recorded)+len(m.made) >= MaxCalls {
		return nil, fmt.Errorf("a pipeline may make %d calls, and this is one more", MaxCalls)
	}
	if c.Kind == ci.CallRun && len(m.runs) >= MaxRuns {
		return nil, fmt.Errorf("a pipeline may trigger %d runs, and this is one more", MaxRuns)
	}
	if c.After == nil {
		c.After = []string{}
	}
	m.made = append(m.made, c)
	m.visited[c.ID] = &c
	return &c, nil
}

// settle gives a new call its value at once.
func (m *machine) settle(c *Call, value any) error {
	if c.Done {
		return nil
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return err
	}
	c.Done, c.Value = true, encoded
	for i := range m.made {
		if m.made[i].ID == c.ID {
			m.made[i] = *c
		}
	}
	return nil
}

// await returns nil once a call is done. Until then the program waits.
func (m *machine) await(calls ...*Call) error {
	waits := false
	for _, c := range calls {
		if !c.Done {
			waits = true
			m.waitFor(c)
		}
	}
	if waits {
		return errSuspend
	}
	for _, c := range calls {
		m.saw(c)
	}
	return nil
}

func (m *machine) waitFor(c *Call) {
	if !slices.Contains(m.waiting, c.ID) {
		m.waiting = append(m.waiting, c.ID)
	}
}

// saw puts a call that is done onto the branch's frontier, in place of those that came before it.
func (m *machine) saw(c *Call) {
	f := m.branch.frontier
	before := map[string]bool{}
	for _, id := range f {
		before[id] = true
		m.ancestors(id, before)
	}
	if before[c.ID] {
		return // it was seen before
	}
	clear(before)
	m.ancestors(c.ID, before)
	f = slices.DeleteFunc(slices.Clone(f), func(id string) bool { return before[id] })
	m.branch.frontier = append(f, c.ID)
}

// ancestors collects what came before a call. The walk is short: a frontier holds few calls.
func (m *machine) ancestors(id string, seen map[string]bool) {
	c := m.visited[id]
	if c == nil {
		return
	}
	for _, before := range c.After {
		if !seen[before] {
			seen[before] = true
			m.ancestors(before, seen)
		}
	}
}

// fork carries out a function as a branch of its own, and returns to the
// present one. What the function can reach is frozen: branches can't tell each
// other anything that depends on which of them is faster.
func (m *machine) fork(prefix string, fn *starlark.Function) (v starlark.Value, frontier []string, err error) {
	fn.Freeze()
	for _, global := range fn.Globals() {
		global.Freeze()
	}
	outer := m.branch
	m.branch = &branch{prefix: prefix, frontier: slices.Clone(outer.frontier)}
	defer func() { m.branch = outer }()
	v, err = starlark.Call(m.thread, fn, nil, nil)
	if m.stopped && !m.in.Probe {
		m.stopped = false
		m.thread.Uncancel()
		err = errSuspend
	}
	return v, m.branch.frontier, err
}

// end is what comes after the last line: runs that nobody has asked for are
// waited for, and fail the pipeline when they fail.
func (m *machine) end() error {
	var left []*Run
	var calls []*Call
	for _, r := range m.runs {
		if !m.known[r.call.ID] {
			left, calls = append(left, r), append(calls, r.call)
		}
	}
	if err := m.await(calls...); err != nil {
		return err
	}
	for _, r := range left {
		if r.value.Outcome != ci.OutcomeSucceeded {
			return &failure{fmt.Sprintf("%s, which the program did not wait for, %s", r.name(), r.how())}
		}
	}
	return nil
}

// checkAllMade finds calls that were recorded and not made this time.
func (m *machine) checkAllMade(out *Output) {
	if out.Outcome == ci.OutcomeFailed {
		return // branches after the one that failed were not looked at
	}
	for _, id := range slices.Sorted(maps.Keys(m.recorded)) {
		if c := m.recorded[id]; m.visited[id] == nil {
			out.New, out.Waiting = nil, nil
			fault(out, fmt.Sprintf("%s:%d: call %s was made before, %s(%s), and is not made now: the program does not do the same every time, so it can't be continued",
				m.file(), c.Line, id, c.Kind, cut(string(c.Args))))
			return
		}
	}
}
