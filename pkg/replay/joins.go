package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.starlark.net/starlark"

	"ci/pkg/ci"
)

// join reads the arguments of all and any: elements one by one or in a list.
func (a *args) join(pairs ...any) ([]starlark.Value, error) {
	if err := starlark.UnpackArgs(a.name, nil, a.named, pairs...); err != nil {
		return nil, err
	}
	if len(a.positional) != 1 {
		return a.positional, nil
	}
	it, ok := a.positional[0].(starlark.Iterable)
	if !ok {
		return a.positional, nil
	}
	var list []starlark.Value
	for v := range starlark.Elements(it) {
		if len(list) >= MaxCalls*10 {
			return nil, fmt.Errorf("%s: the list has more than %d elements", a.name, MaxCalls*10)
		}
		list = append(list, v)
	}
	return list, nil
}

// all waits for runs, and carries out functions beside each other. Of other
// values it says whether all are true, as everywhere in Starlark.
func (m *machine) all(a *args) (starlark.Value, error) {
	check, failFast := true, false
	list, err := a.join("check?", &check, "fail_fast?", &failFast)
	if err != nil {
		return nil, err
	}
	if failFast && !check {
		return nil, errors.New("all: fail_fast fails the pipeline, so it does not go with check=False")
	}
	if !slices.ContainsFunc(list, isCourse) {
		for _, v := range list {
			if !v.Truth() {
				return starlark.False, nil
			}
		}
		return starlark.True, nil
	}
	return m.join(list, check, failFast)
}

// isCourse says whether v takes its time: a run or a function.
func isCourse(v starlark.Value) bool {
	switch v.(type) {
	case *Run, *starlark.Function:
		return true
	}
	return false
}

func (m *machine) join(list []starlark.Value, check, failFast bool) (starlark.Value, error) {
	place := m.place()
	values := make([]starlark.Value, len(list))
	var runs []*Run
	var frontiers [][]string
	waits := false
	for i, v := range list {
		switch v := v.(type) {
		case *Run:
			runs = append(runs, v)
			values[i] = v
		case *starlark.Function:
			got, frontier, err := m.fork(fmt.Sprintf("%s.%d.", place, i), v)
			if err != nil && !errors.Is(err, errSuspend) {
				return nil, err
			}
			waits = waits || err != nil
			values[i] = got
			frontiers = append(frontiers, frontier)
		default:
			return nil, fmt.Errorf("all: element %d is a %s; beside runs and functions only these are possible", i, v.Type())
		}
	}
	if err := m.awaitRuns(runs, check, failFast); err != nil {
		return nil, err
	}
	if waits {
		return nil, errSuspend
	}
	for _, f := range frontiers {
		for _, id := range f {
			m.saw(m.visited[id])
		}
	}
	return starlark.NewList(values), nil
}

// awaitRuns returns nil once all runs are done, and with check a failure when
// some did not succeed; with failFast as soon as the first did not.
func (m *machine) awaitRuns(runs []*Run, check, failFast bool) error {
	calls := make([]*Call, len(runs))
	var bad []*Run
	for i, r := range runs {
		m.known[r.call.ID] = true
		calls[i] = r.call
		if r.call.Done && r.value.Outcome != ci.OutcomeSucceeded {
			bad = append(bad, r)
		}
	}
	if failFast && len(bad) > 0 {
		return failed(bad)
	}
	if err := m.await(calls...); err != nil {
		return err
	}
	if check && len(bad) > 0 {
		return failed(bad)
	}
	return nil
}

// any waits for the first run that succeeds and returns it. Of other values it
// says whether one is true.
func (m *machine) any(a *args) (starlark.Value, error) {
	check := true
	list, err := a.join("check?", &check)
	if err != nil {
		return nil, err
	}
	runs := make([]*Run, 0, len(list))
	for _, v := range list {
		if r, ok := v.(*Run); ok {
			runs = append(runs, r)
		}
	}
	switch {
	case len(runs) == 0:
		return starlark.Bool(slices.ContainsFunc(list, func(v starlark.Value) bool { return bool(v.Truth()) })), nil
	case len(runs) < len(list):
		return nil, errors.New("any: beside runs only runs are possible")
	}
	return m.first(runs, check, a.line)
}

func (m *machine) first(runs []*Run, check bool, line int) (starlark.Value, error) {
	var c AnyArgs
	calls := make([]*Call, len(runs))
	for i, r := range runs {
		m.known[r.call.ID] = true
		calls[i] = r.call
		c.Of = append(c.Of, r.call.ID)
	}
	id := m.place()
	var v AnyValue
	if made := m.recorded[id]; made != nil {
		if err := json.Unmarshal(made.Value, &v); err != nil {
			return nil, fmt.Errorf("any: what was recorded of call %s is damaged: %w", id, err)
		}
	} else if v.First = winner(runs); v.First == "" {
		// Until it is decided there is no such call: only the first to succeed counts.
		if err := m.await(calls...); err != nil {
			return nil, err
		}
	}
	if c := m.visited[v.First]; c != nil {
		m.saw(c)
	}
	call, err := m.callAt(id, ci.CallAny, "any", c, line)
	if err == nil {
		err = m.settle(call, v)
	}
	if err != nil {
		return nil, err
	}
	m.saw(call)
	return pick(runs, v.First, check)
}

// winner is the call of the run that was the first to succeed so far; "" for none.
func winner(runs []*Run) string {
	id, order := "", int64(0)
	for _, r := range runs {
		if r.call.Done && r.value.Outcome == ci.OutcomeSucceeded && (id == "" || r.call.Order < order) {
			id, order = r.call.ID, r.call.Order
		}
	}
	return id
}

func pick(runs []*Run, id string, check bool) (starlark.Value, error) {
	for _, r := range runs {
		if r.call.ID == id {
			return r, nil
		}
	}
	if check {
		return nil, failed(runs)
	}
	return starlark.None, nil
}
