package ci

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
)

func TestParseTrace(t *testing.T) {
	t.Parallel()
	good := &Trace{ID: traceID, Span: spanID, Sampled: true}
	with := func(state string) *Trace { w := *good; w.State = state; return &w }
	parent := "00-" + traceID + "-" + spanID + "-01"
	for name, c := range map[string]struct {
		parent, state string
		want          *Trace
	}{
		"sampled":                  {parent, "", good},
		"not sampled":              {parent[:53] + "00", "", &Trace{ID: traceID, Span: spanID}},
		"other flags":              {parent[:53] + "fe", "", &Trace{ID: traceID, Span: spanID}},
		"flags with sampled":       {parent[:53] + "03", "", good},
		"a later version":          {"01" + parent[2:], "", good},
		"a later version's part":   {"cc" + parent[2:] + "-what.the-future-will-be", "", good},
		"none":                     {"", "a=1", nil},
		"version ff":               {"ff" + parent[2:], "", nil},
		"longer than version 00":   {parent + "-x", "", nil},
		"upper case":               {strings.ToUpper(parent), "", nil},
		"no trace":                 {"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", "", nil},
		"no span":                  {"00-" + traceID + "-" + strings.Repeat("0", 16) + "-01", "", nil},
		"a line end":               {parent + "\n", "", nil},
		"a line end within":        {"01" + parent[2:] + "-a\nCI_TOKEN=x", "", nil},
		"a shell":                  {"$(reboot)", "", nil},
		"a state":                  {parent, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", with("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")},
		"spaces around":            {parent, " a=1 ,\tb=2,", with("a=1,b=2")},
		"a tenant":                 {parent, "fw529a3039@dt=FfAAAA", with("fw529a3039@dt=FfAAAA")},
		"a state without a value":  {parent, "a", good},
		"a state that is twice":    {parent, "a=1,a=2", good},
		"a state with a line end":  {parent, "a=1\nCI_TOKEN=x", good},
		"a state with a zero byte": {parent, "a=1\x00", good},
		"a state in upper case":    {parent, "A=1", good},
		"a state that is too long": {parent, strings.Repeat("a", 255) + "=" + strings.Repeat("b", 256) + ",c=1", good},
		"too many members":         {parent, many(33), good},
		"as many as may be":        {parent, many(32), with(many(32))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, ParseTrace(c.parent, c.state))
		})
	}
	require.Equal(t, parent, good.Parent())
	require.Equal(t, good, ParseTrace(good.Parent(), good.State))
}

func many(n int) string {
	var members []string
	for i := range n {
		members = append(members, string(rune('a'+i%26))+string(rune('a'+i/26))+"=1")
	}
	return strings.Join(members, ",")
}

// FuzzParseTrace: whatever comes, what is read is sound, and reads back as it is.
func FuzzParseTrace(f *testing.F) {
	f.Add("00-"+traceID+"-"+spanID+"-01", "rojo=1,congo=2")
	f.Add("cc-"+traceID+"-"+spanID+"-ff-x", "a@b= x")
	f.Fuzz(func(t *testing.T, parent, state string) {
		got := ParseTrace(parent, state)
		if got == nil {
			return
		}
		require.Equal(t, got, ParseTrace(got.Parent(), got.State))
		for _, b := range []byte(got.Parent() + got.State) {
			require.True(t, b >= 0x20 && b < 0x7f, "byte %#x", b)
		}
	})
}

func TestTraceParts(t *testing.T) {
	t.Parallel()
	run := func(id int64, recorded bool) *Run {
		return &Run{ID: id, Job: "a", Trace: &Trace{ID: traceID, Span: spanID, Sampled: true, State: "a=1", Recorded: recorded}}
	}
	whole := run(1, true).TracePart()
	require.NotNil(t, ParseTrace(whole.Parent(), whole.State))
	require.Equal(t, traceID, whole.ID)
	require.Equal(t, "a=1", whole.State)
	require.Equal(t, whole, run(1, true).TracePart(), "whoever asks finds the same")
	seen := map[string]bool{spanID: true}
	for _, part := range []*Trace{whole, run(2, true).TracePart(), run(1, true).TracePart("queued"), run(1, true).TracePart("step", "0"), run(1, true).TracePart("step", "1")} {
		require.False(t, seen[part.Span])
		seen[part.Span] = true
	}
	require.Equal(t, run(1, true).TracePart("running"), run(1, true).ScriptTrace())
	require.Equal(t, run(1, false).Trace, run(1, false).ScriptTrace(), "no span of ours is there to go on from")
	require.Nil(t, (&Run{}).ScriptTrace())
	require.Nil(t, (&Run{}).TracePart())
}

func TestPhaseTimes(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	r := &Run{Times: Times{Triggered: at(0), Queued: at(1), Claimed: at(2), Started: at(3), Collecting: at(4), Done: at(5)}}
	require.Equal(t, []PhaseTime{
		{PhasePlanning, at(0), at(1)},
		{PhaseQueued, at(1), at(2)},
		{PhasePreparing, at(2), at(3)},
		{PhaseRunning, at(3), at(4)},
		{PhaseCollecting, at(4), at(5)},
	}, r.PhaseTimes())
	r = &Run{Times: Times{Triggered: at(0), Queued: at(1), Done: at(5)}}
	require.Equal(t, []PhaseTime{{PhasePlanning, at(0), at(1)}, {PhaseQueued, at(1), at(5)}}, r.PhaseTimes())
}
