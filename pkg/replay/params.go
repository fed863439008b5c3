package replay

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"ci/pkg/ci"
)

// params declares the pipeline's parameters with their defaults, None for a
// required one, and returns them with the values of this run.
func (m *machine) params(a *args) (starlark.Value, error) {
	switch {
	case m.asked:
		return nil, errors.New("params: it is called twice; one call declares all parameters")
	case len(m.visited) > 0:
		return nil, errors.New("params: it comes after another call; call it first, so that parameters can be checked before anything begins")
	case len(a.positional) > 0:
		return nil, errors.New(`params: it takes names with defaults, for example params(branch = "main", level = 1)`)
	case len(a.named) > MaxParameters:
		return nil, fmt.Errorf("params: %d parameters; at most %d are allowed", len(a.named), MaxParameters)
	}
	m.asked = true
	fields := starlark.StringDict{}
	var wrong []ci.Field
	for _, kv := range a.named {
		p, err := declaration(string(kv[0].(starlark.String)), kv[1])
		if err != nil {
			return nil, err
		}
		m.declared = append(m.declared, p)
		v, problem := m.valueOf(p)
		if problem != "" {
			wrong = append(wrong, ci.Field{Path: "parameters." + p.Name, Message: problem})
		}
		fields[p.Name] = v
	}
	wrong = append(wrong, m.unknown(fields)...)
	if len(wrong) > 0 && !m.in.Declared {
		return nil, &misgiven{wrong}
	}
	if m.in.Probe {
		m.stop("probe")
		return nil, errSuspend
	}
	return starlarkstruct.FromStringDict(starlark.String("params"), fields), nil
}

// misgiven are parameters of a run that do not suit its pipeline.
type misgiven struct{ fields []ci.Field }

func (e *misgiven) Error() string {
	texts := make([]string, len(e.fields))
	for i, f := range e.fields {
		texts[i] = f.Path + " " + f.Message
	}
	return "the parameters are not valid: " + strings.Join(texts, "; ")
}

func declaration(name string, value starlark.Value) (ci.PipelineParameter, error) {
	p := ci.PipelineParameter{Name: name}
	switch v := value.(type) {
	case starlark.NoneType:
		p.Type, p.Required = "string", true
	case starlark.String:
		p.Type, p.Default = "string", string(v)
	case starlark.Bool:
		p.Type, p.Default = "bool", strconv.FormatBool(bool(v))
	case starlark.Int:
		p.Type, p.Default = "int", v.String()
	default:
		return p, fmt.Errorf("params: the default of %s is a %s; it must be a string, an int, a bool, or None for a required one", name, v.Type())
	}
	if err := ci.ValidateName(name); err != nil {
		return p, fmt.Errorf("params: %w", err)
	}
	if len(p.Default) > ci.MaxParameterValue {
		return p, fmt.Errorf("params: the default of %s has %d bytes; at most %d are allowed", name, len(p.Default), ci.MaxParameterValue)
	}
	return p, nil
}

// valueOf is the value that the run was given, or the default.
func (m *machine) valueOf(p ci.PipelineParameter) (starlark.Value, string) {
	text, given := m.in.Parameters[p.Name]
	if !given {
		if p.Required {
			return starlark.None, "is required and missing"
		}
		text = p.Default
	}
	switch p.Type {
	case "bool":
		if text != "true" && text != "false" {
			return starlark.None, fmt.Sprintf("%q is neither true nor false", cut(text))
		}
		return starlark.Bool(text == "true"), ""
	case "int":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return starlark.None, fmt.Sprintf("%q is no whole number", cut(text))
		}
		return starlark.MakeInt64(n), ""
	}
	return starlark.String(text), ""
}

// unknown are given parameters that the program does not declare.
func (m *machine) unknown(declared starlark.StringDict) []ci.Field {
	var wrong []ci.Field
	names := "none"
	if len(m.declared) > 0 {
		names = strings.Join(declared.Keys(), ", ")
	}
	for _, name := range slices.Sorted(maps.Keys(m.in.Parameters)) {
		if !declared.Has(name) {
			wrong = append(wrong, ci.Field{Path: "parameters." + name, Message: "is not a parameter of this pipeline; it has " + names})
		}
	}
	return wrong
}
