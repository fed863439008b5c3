package replay

import (
	"encoding/json"
	"fmt"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"ci/pkg/ci"
)

// result reads a result of a run, once the run is done.
func (m *machine) result(a *args) (starlark.Value, error) {
	var r *Run
	var name string
	var instead starlark.Value
	if err := a.unpack("run", &r, "name", &name, "default?", &instead); err != nil {
		return nil, err
	}
	if err := ci.ValidateName(name); err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	if err := r.await(); err != nil {
		return nil, err
	}
	call, err := m.call(ci.CallResult, r.call.Title+" "+name, ResultArgs{Run: r.call.ID, Job: r.args.Job, ID: r.value.ID, Name: name}, a.line)
	if err != nil {
		return nil, err
	}
	if err := m.await(call); err != nil {
		return nil, err
	}
	var v ResultValue
	if err := json.Unmarshal(call.Value, &v); err != nil {
		return nil, fmt.Errorf("result: what was recorded of call %s is damaged: %w", call.ID, err)
	}
	switch {
	case v.Missing != "" && instead != nil:
		return instead, nil
	case v.Missing != "":
		return nil, &failure{fmt.Sprintf("%s: %s", at1(m.file(), a.line), v.Missing)}
	}
	return v.starlark(), nil
}

// at1 is "file:line".
func at1(file string, line int) string { return fmt.Sprintf("%s:%d", file, line) }

// starlark is the result as a program sees it.
func (v *ResultValue) starlark() starlark.Value {
	fields := starlark.StringDict{
		"content_type": starlark.String(v.ContentType),
		"size":         starlark.MakeInt64(v.Size),
		"sha256":       starlark.String(v.SHA256),
		"text":         starlark.None,
		"tests":        starlark.None,
	}
	if v.Text != nil {
		fields["text"] = starlark.String(*v.Text)
	}
	if t := v.Tests; t != nil {
		failures := make([]starlark.Value, len(t.Failures))
		for i, name := range t.Failures {
			failures[i] = starlark.String(name)
		}
		list := starlark.NewList(failures)
		list.Freeze()
		fields["tests"] = starlarkstruct.FromStringDict(starlark.String("tests"), starlark.StringDict{
			"total": starlark.MakeInt(t.Total), "failed": starlark.MakeInt(t.Failed), "skipped": starlark.MakeInt(t.Skipped), "failures": list,
		})
	}
	return starlarkstruct.FromStringDict(starlark.String("result"), fields)
}

// approve waits for somebody's yes. A no, or nobody in time, fails the
// pipeline unless check is False.
func (m *machine) approve(a *args) (starlark.Value, error) {
	var c ApproveArgs
	var timeout starlark.Value
	check := true
	if err := a.unpack("question", &c.Question, "timeout?", &timeout, "check?", &check); err != nil {
		return nil, err
	}
	if timeout != nil {
		d, err := durationOf(a.name, timeout)
		if err != nil {
			return nil, err
		}
		c.Timeout = ci.Duration(d)
	}
	call, err := m.call(ci.CallApprove, c.Question, c, a.line)
	if err != nil {
		return nil, err
	}
	if err := m.await(call); err != nil {
		return nil, err
	}
	var v AnswerValue
	if err := json.Unmarshal(call.Value, &v); err != nil {
		return nil, fmt.Errorf("approve: what was recorded of call %s is damaged: %w", call.ID, err)
	}
	if check && !v.Approved {
		return nil, &failure{v.refusal(c.Question)}
	}
	return starlarkstruct.FromStringDict(starlark.String("answer"), starlark.StringDict{
		"approved": starlark.Bool(v.Approved), "by": starlark.String(v.By), "note": starlark.String(v.Note), "at": starlark.String(v.At.UTC().Format(time.RFC3339)),
	}), nil
}

func (v *AnswerValue) refusal(question string) string {
	switch {
	case v.By == "":
		return fmt.Sprintf("nobody answered %q in time", cut(question))
	case v.Note != "":
		return fmt.Sprintf("%s said no to %q: %s", v.By, cut(question), v.Note)
	}
	return fmt.Sprintf("%s said no to %q", v.By, cut(question))
}
