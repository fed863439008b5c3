package ci

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// Trace is a place in a distributed trace, in the terms of W3C Trace Context
// (https://www.w3.org/TR/trace-context/): who did something, so that what comes of
// it is told as one story by whatever programs take part in it.
type Trace struct {
	// ID is the trace's: 32 lower-case hexadecimal digits, not all zero.
	ID string `json:"id"`
	// Span is the part of the trace that did it: 16 such digits.
	Span string `json:"span"`
	// Sampled says that whoever began the trace keeps it.
	Sampled bool `json:"sampled"`
	// State is the tracestate, which vendors pass on to each other; "" for none.
	State string `json:"state,omitempty"`
	// Recorded says that spans are sent of what comes of it here: those of the run itself.
	Recorded bool `json:"recorded"`
}

// The headers that a trace travels in, and the variables that programs find it in.
const (
	TraceParentHeader   = "Traceparent"
	TraceStateHeader    = "Tracestate"
	TraceParentVariable = "TRACEPARENT"
	TraceStateVariable  = "TRACESTATE"
)

const (
	maxTraceState   = 512 // bytes; what W3C Trace Context wants passed on at least
	maxTraceMembers = 32
)

var (
	// A later version may have more after the flags; its first four parts are those of version 00.
	traceParent = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,200})?$`)
	// The grammar of section 3.3.1.3 of W3C Trace Context.
	traceMember = regexp.MustCompile(`^([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$`)
)

// ParseTrace reads a traceparent and a tracestate. As W3C Trace Context wants it,
// what is malformed counts as absent: nil without a sound parent, no state without
// a sound one. What it returns holds nothing but what the grammar allows.
func ParseTrace(parent, state string) *Trace {
	m := traceParent.FindStringSubmatch(parent)
	if m == nil || m[1] == "ff" || m[1] == "00" && m[5] != "" {
		return nil
	}
	t := &Trace{ID: m[2], Span: m[3], Sampled: strings.ContainsAny(m[4][1:], "13579bdf"), State: soundState(state)}
	if strings.Trim(t.ID, "0") == "" || strings.Trim(t.Span, "0") == "" {
		return nil
	}
	return t
}

// soundState returns the members of a tracestate, or "" when one of them is none.
func soundState(state string) string {
	var members []string
	known := map[string]bool{}
	for member := range strings.SplitSeq(state, ",") {
		if member = strings.Trim(member, " \t"); member == "" {
			continue
		}
		key, _, _ := strings.Cut(member, "=")
		if !traceMember.MatchString(member) || known[key] {
			return ""
		}
		known[key] = true
		members = append(members, member)
	}
	joined := strings.Join(members, ",")
	if len(members) > maxTraceMembers || len(joined) > maxTraceState {
		return ""
	}
	return joined
}

// Parent is the traceparent, of version 00.
func (t *Trace) Parent() string {
	flags := 0
	if t.Sampled {
		flags = 1
	}
	return fmt.Sprintf("00-%s-%s-%02x", t.ID, t.Span, flags)
}

// Part is the place of a part of what comes of t. Whoever knows t and the names
// finds the same span: nothing has to be kept for it between processes.
func (t *Trace) Part(names ...string) *Trace {
	part := *t
	sum := sha256.Sum256([]byte(strings.Join(append([]string{t.ID, t.Span}, names...), "\x00")))
	part.Span = hex.EncodeToString(sum[:8])
	return &part
}

// TracePart is the place of a phase or a step of the run in its trace; without
// names, of all of the run. It is nil for a run without a trace.
func (r *Run) TracePart(names ...string) *Trace {
	if r.Trace == nil {
		return nil
	}
	return r.Trace.Part(append([]string{"run", r.Ref().String()}, names...)...)
}

// ScriptTrace is what the run's script goes on with: its own span where spans
// of the run are sent, else the place of who triggered it; nil for none.
func (r *Run) ScriptTrace() *Trace {
	if r.Trace == nil || !r.Trace.Recorded {
		return r.Trace
	}
	return r.TracePart(string(PhaseRunning))
}
