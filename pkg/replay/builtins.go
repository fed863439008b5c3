package replay

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"go.starlark.net/starlark"

	"ci/pkg/ci"
)

// args are the arguments of one call of a builtin.
type args struct {
	name       string
	positional starlark.Tuple
	named      []starlark.Tuple
	line       int
}

// unpack reads them as starlark.UnpackArgs does: "name", &variable, "optional?", &another.
func (a *args) unpack(pairs ...any) error {
	return starlark.UnpackArgs(a.name, a.positional, a.named, pairs...)
}

// run triggers a run and goes on at once.
func (m *machine) run(a *args) (starlark.Value, error) {
	var c RunArgs
	var priority string
	parameters := new(starlark.Dict)
	err := a.unpack("job", &c.Job, "branch?", &c.Branch, "commit?", &c.Commit, "params?", &parameters, "priority?", &priority, "name?", &c.Name)
	if err != nil {
		return nil, err
	}
	if c.Parameters, err = values(parameters); err != nil {
		return nil, err
	}
	c.Priority = ci.Priority(priority)
	if err := ci.ValidateName(c.Job); err != nil {
		return nil, fmt.Errorf("run: the job %w", err)
	}
	t := ci.Trigger{Job: c.Job, BranchName: c.Branch, CommitSHA: c.Commit, Priority: c.Priority}
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	title := c.Job
	if c.Name != "" {
		title = c.Name
	}
	call, err := m.call(ci.CallRun, title, c, a.line)
	if err != nil {
		return nil, err
	}
	r := &Run{m: m, call: call, args: c}
	if len(call.Value) > 0 {
		if err := json.Unmarshal(call.Value, &r.value); err != nil {
			return nil, fmt.Errorf("run: what was recorded of call %s is damaged: %w", call.ID, err)
		}
	}
	m.runs = append(m.runs, r)
	return r, nil
}

// values makes texts of a run's parameters.
func values(d *starlark.Dict) (map[string]string, error) {
	if d.Len() == 0 {
		return nil, nil
	}
	out := make(map[string]string, d.Len())
	for _, item := range d.Items() {
		name, ok := starlark.AsString(item[0])
		if !ok {
			return nil, fmt.Errorf("run: the name of a parameter is a %s; it must be a string", item[0].Type())
		}
		value, err := textOf(item[1])
		if err != nil {
			return nil, fmt.Errorf("run: parameter %s %w", name, err)
		}
		out[name] = value
	}
	return out, nil
}

// textOf is how a value is passed to a job.
func textOf(v starlark.Value) (string, error) {
	switch v := v.(type) {
	case starlark.String:
		return string(v), nil
	case starlark.Int:
		return v.String(), nil
	case starlark.Bool:
		return strconv.FormatBool(bool(v)), nil
	}
	return "", fmt.Errorf("is a %s; it must be a string, an int or a bool", v.Type())
}

// wait waits for one run's end, whatever it is.
func (m *machine) wait(a *args) (starlark.Value, error) {
	var r *Run
	if err := a.unpack("run", &r); err != nil {
		return nil, err
	}
	return r, r.await()
}

// abort asks for a run's end, and does not wait for it.
func (m *machine) abort(a *args) (starlark.Value, error) {
	var r *Run
	if err := a.unpack("run", &r); err != nil {
		return nil, err
	}
	m.known[r.call.ID] = true
	_, err := m.call(ci.CallAbort, r.call.Title, AbortArgs{Run: r.call.ID}, a.line)
	return nil, err
}

// sleep waits for some time.
func (m *machine) sleep(a *args) (starlark.Value, error) {
	var v starlark.Value
	if err := a.unpack("duration", &v); err != nil {
		return nil, err
	}
	d, err := durationOf(a.name, v)
	if err != nil {
		return nil, err
	}
	call, err := m.call(ci.CallSleep, d.String(), SleepArgs{For: ci.Duration(d)}, a.line)
	if err != nil {
		return nil, err
	}
	return nil, m.await(call)
}

// durationOf reads "1h30m", or a number of seconds.
func durationOf(who string, v starlark.Value) (time.Duration, error) {
	var d time.Duration
	switch v := v.(type) {
	case starlark.String:
		var err error
		if d, err = time.ParseDuration(string(v)); err != nil {
			return 0, fmt.Errorf("%s: %q is no duration; examples are \"90s\", \"10m\" and \"1h30m\"", who, cut(string(v)))
		}
	case starlark.Int:
		seconds, ok := v.Int64()
		if !ok || seconds > int64(MaxSleep/time.Second) || seconds < 0 {
			return 0, fmt.Errorf("%s: %s seconds are not possible; at most %s are", who, cut(v.String()), MaxSleep)
		}
		d = time.Duration(seconds) * time.Second
	default:
		return 0, fmt.Errorf("%s: got a %s; it takes a duration such as \"10m\", or seconds", who, v.Type())
	}
	if d < 0 || d > MaxSleep {
		return 0, fmt.Errorf("%s: %s is not possible; at most %s are", who, d, MaxSleep)
	}
	return d, nil
}

// fail ends the pipeline as failed.
func (m *machine) fail(a *args) (starlark.Value, error) {
	var reason string
	if err := a.unpack("reason?", &reason); err != nil {
		return nil, err
	}
	if reason == "" {
		reason = fmt.Sprintf("the program called fail in line %d", a.line)
	}
	return nil, &failure{cut(reason)}
}

// now is the time of the first time that the program came here.
func (m *machine) now(a *args) (starlark.Value, error) {
	if err := a.unpack(); err != nil {
		return nil, err
	}
	call, err := m.call(ci.CallNow, "now", struct{}{}, a.line)
	if err != nil {
		return nil, err
	}
	if err := m.settle(call, m.in.Now.UTC().Format(time.RFC3339)); err != nil {
		return nil, err
	}
	var text string
	err = json.Unmarshal(call.Value, &text)
	return starlark.String(text), err
}

// print notes a line for people, once.
func (m *machine) print(t *starlark.Thread, text string) {
	if m.stopped {
		return
	}
	if len(text) > MaxPrint {
		text = text[:MaxPrint]
	}
	call, err := m.call(ci.CallPrint, text, map[string]string{"text": cut(text)}, lineOf(t))
	if err == nil {
		err = m.settle(call, cut(text))
	}
	if err != nil && !m.in.Probe {
		m.broken = err
		t.Cancel("print")
	}
}
