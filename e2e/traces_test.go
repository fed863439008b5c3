package e2e

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/backend/trace/tracetest"
)

// collectorCommand starts what traces are sent to.
func collectorCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, append(args, ""), 1, 1)
	s := on(ts)
	s.traces = tracetest.Start(ts.Value(testKey{}).(testing.TB))
	ts.Setenv("COLLECTOR", s.traces.HTTP)
}

// spanCommand waits for a span.
func spanCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3, 4)
	t := ts.Value(testKey{}).(testing.TB)
	found := on(ts).traces.Find(t, args[2], func(s tracetest.Span) bool {
		return s.Trace == args[1] && s.Name == args[2] && (len(args) == 3 || s.Parent == args[3])
	})
	ts.Setenv(args[0], found.ID)
}
