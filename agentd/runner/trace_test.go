package runner

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestTraceVariables: a script goes on with its run's trace, and nothing but a trace gets into its environment that way.
func TestTraceVariables(t *testing.T) {
	t.Parallel()
	place := ci.Trace{ID: "4bf92f3577b34da6a3ce929d0e0e4736", Span: "00f067aa0ba902b7", Sampled: true}
	const parent = "TRACEPARENT=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	stated, recorded, newline, hostile := place, place, place, place
	stated.State, recorded.Recorded = "a=1", true
	newline.State, hostile.ID = "a=1\nCI_TOKEN=x", place.ID+"\nCI_TOKEN=x"
	own := (&ci.Run{ID: 7, Job: "a", Trace: &recorded}).TracePart("running")
	for name, c := range map[string]struct {
		trace      *ci.Trace
		parameters map[string]string
		want       []string
	}{
		"none":                      {},
		"of who triggered":          {trace: &place, want: []string{parent}},
		"with a state":              {trace: &stated, want: []string{parent, "TRACESTATE=a=1"}},
		"of its own span":           {trace: &recorded, want: []string{"TRACEPARENT=" + own.Parent()}},
		"a parameter's name":        {trace: &stated, parameters: map[string]string{"TRACEPARENT": "mine"}, want: []string{"TRACESTATE=a=1"}},
		"a state with a line end":   {trace: &newline, want: []string{parent}},
		"a backend that is hostile": {trace: &hostile},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := &ci.Run{ID: 7, Job: "a", Trace: c.trace, Parameters: c.parameters}
			require.Equal(t, c.want, traceVariables(run))
			all := environment(run, "http://ci.test/runs/7")
			for _, v := range c.want {
				require.Contains(t, all, v)
			}
			require.NotContains(t, strings.Join(all, "\n"), "CI_TOKEN")
		})
	}
}
