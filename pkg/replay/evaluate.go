package replay

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/lib/json"
	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"ci/pkg/ci"
)

// dialect is what the language allows beyond the core of Starlark: scripts may
// loop and decide at their top level. Recursion stays forbidden.
func dialect() *syntax.FileOptions {
	return &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true}
}

// Evaluate replays a program. What is wrong with the program is told in the
// Output. It bounds the program's steps, not its memory, nor the time of a
// single step: for programs of others use a Sandbox.
func Evaluate(in Input) *Output {
	m := newMachine(in)
	out := &Output{}
	if err := checkText(in.Program); err != nil {
		m.blame(out, err)
		return out
	}
	_, err := starlark.ExecFileOptions(dialect(), m.thread, m.file(), in.Program, m.builtins())
	err = m.ended(err)
	out.New, out.Parameters, out.Steps = m.made, m.declared, m.thread.ExecutionSteps()
	switch {
	case m.steps:
		out.New = nil
		fault(out, fmt.Sprintf("%s takes more than %d steps; a loop may not end, or it computes what a job should", m.in.Name, MaxSteps))
	case errors.Is(err, errSuspend):
		out.Waiting = m.waiting
	case err != nil:
		m.blame(out, err)
	default:
		out.Outcome = ci.OutcomeSucceeded
	}
	if !in.Probe && !out.Fault {
		m.checkAllMade(out)
	}
	if out.Ended() && out.Outcome != ci.OutcomeSucceeded {
		// What was about to begin does not begin any more.
		out.New = slices.DeleteFunc(out.New, func(c Call) bool { return !c.Done })
	}
	return out
}

// ended is what really ended the program, where err only says that it was stopped.
func (m *machine) ended(err error) error {
	switch {
	case m.broken != nil:
		return m.broken
	case m.in.Probe && !m.asked && !m.in.Declared && len(m.in.Parameters) > 0 && (err == nil || m.stopped):
		return &misgiven{m.unknown(nil)}
	case m.stopped:
		return errSuspend
	case err == nil:
		return m.end()
	}
	return err
}

func newMachine(in Input) *machine {
	m := &machine{in: in, recorded: map[string]*Call{}, visited: map[string]*Call{}, known: map[string]bool{}, branch: &branch{}}
	for i := range in.Calls {
		m.recorded[in.Calls[i].ID] = &in.Calls[i]
	}
	m.thread = &starlark.Thread{Name: in.Name, Print: m.print, Load: func(_ *starlark.Thread, module string) (starlark.StringDict, error) {
		return nil, fmt.Errorf("load(%q): a pipeline is one file; nothing can be loaded", module)
	}}
	m.thread.SetMaxExecutionSteps(MaxSteps)
	m.thread.OnMaxSteps = func(t *starlark.Thread) {
		m.steps = true
		t.Cancel("too many steps")
	}
	return m
}

func (m *machine) file() string { return m.in.Name + ".star" }

// builtins are the words of the language.
func (m *machine) builtins() starlark.StringDict {
	words := starlark.StringDict{
		"json":   json.Module,
		"struct": starlark.NewBuiltin("struct", starlarkstruct.Make),
	}
	for name, fn := range map[string]func(*args) (starlark.Value, error){
		"run": m.run, "result": m.result, "all": m.all, "any": m.any, "wait": m.wait, "abort": m.abort,
		"sleep": m.sleep, "approve": m.approve, "params": m.params, "fail": m.fail, "now": m.now,
	} {
		words[name] = starlark.NewBuiltin(name, func(t *starlark.Thread, b *starlark.Builtin, positional starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
			if m.stopped {
				return nil, errSuspend
			}
			v, err := fn(&args{name: b.Name(), positional: positional, named: named, line: lineOf(t)})
			if err == nil && v == nil {
				v = starlark.None
			}
			return v, err
		})
	}
	return words
}

// lineOf is the line of the program that called a builtin.
func lineOf(t *starlark.Thread) int {
	if t.CallStackDepth() < 2 {
		return 0
	}
	return int(t.CallFrame(1).Pos.Line)
}

// divergence says that a program does not do what it did before.
type divergence struct{ reason string }

func (d *divergence) Error() string { return d.reason }

// failure ends a program that is sound with an outcome of its own.
type failure struct{ reason string }

func (f *failure) Error() string { return f.reason }

// blame says in out what ended the program.
func (m *machine) blame(out *Output, err error) {
	var failed *failure
	var syntaxErr syntax.Error
	var names resolve.ErrorList
	var run *starlark.EvalError
	var diverged *divergence
	var params *misgiven
	switch {
	case errors.As(err, &failed):
		out.Outcome, out.Reason = ci.OutcomeFailed, failed.reason
	case errors.As(err, &syntaxErr):
		fault(out, fmt.Sprintf("%s: %s", at(m.file(), syntaxErr.Pos), syntaxErr.Msg), ci.Field{Path: at(m.file(), syntaxErr.Pos), Message: syntaxErr.Msg})
	case errors.As(err, &names):
		for _, e := range names {
			out.Fields = append(out.Fields, ci.Field{Path: at(m.file(), e.Pos), Message: e.Msg})
		}
		fault(out, fmt.Sprintf("%s: %s", out.Fields[0].Path, out.Fields[0].Message), out.Fields...)
	case errors.As(err, &diverged):
		fault(out, diverged.reason)
	case errors.As(err, &params):
		fault(out, "the parameters of pipeline "+m.in.Name+" are not valid", params.fields...)
	case errors.As(err, &run):
		where := blamed(run)
		fault(out, fmt.Sprintf("%s: %s", where, run.Msg), ci.Field{Path: where, Message: run.Msg})
	default:
		fault(out, err.Error())
	}
}

func fault(out *Output, reason string, fields ...ci.Field) {
	out.Outcome, out.Reason, out.Fault, out.Fields = ci.OutcomeError, cut(reason), true, fields
}

// cut keeps a reason readable that a program has made long.
func cut(s string) string {
	const most = 2000
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "�"), "�")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// at is "file:line:column".
func at(file string, pos syntax.Position) string {
	return fmt.Sprintf("%s:%d:%d", file, pos.Line, pos.Col)
}

// blamed is the innermost line of the program, not of a builtin.
func blamed(err *starlark.EvalError) string {
	for _, frame := range slices.Backward(err.CallStack) {
		if frame.Pos.Line > 0 {
			return at(frame.Pos.Filename(), frame.Pos)
		}
	}
	return "the program"
}

// checkText refuses what the parser would choke on. The parser recurses, so
// depth is bounded here, roughly: brackets in strings count too.
func checkText(text string) error {
	const deepest = 200
	if len(text) > ci.MaxProgram {
		return fmt.Errorf("the program has %d bytes; at most %d are allowed", len(text), ci.MaxProgram)
	}
	if strings.ContainsRune(text, 0) || strings.ToValidUTF8(text, "") != text {
		return errors.New("the program is not UTF-8 text")
	}
	depth := 0
	for i, r := range text {
		switch r {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(0, depth-1)
		}
		if depth > deepest {
			return fmt.Errorf("the program's brackets are nested more than %d deep in line %d", deepest, 1+strings.Count(text[:i], "\n"))
		}
	}
	return nil
}
