package runner_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/fake"
	"ci/agentd/runner"
	"ci/pkg/ci"
)

// sink is a backend that only counts the console.
type sink struct {
	*fake.Backend
	t    *testing.T
	size int64
	end  ci.End
}

// AppendConsole counts.
func (s *sink) AppendConsole(_ context.Context, _ ci.Claim, offset int64, data []byte) (int64, error) {
	require.Equal(s.t, s.size, offset)
	s.size += int64(len(data))
	return s.size, nil
}

// Started says nothing.
func (s *sink) Started(context.Context, ci.Claim) error { return nil }

// Finish notes the end.
func (s *sink) Finish(_ context.Context, _ ci.Claim, e ci.End) error {
	s.end = e
	return nil
}

// flood runs a script that prints n bytes and returns how many arrived and were sealed.
func (s *sink) flood(n int64) int64 {
	script := ""
	for range n / 1e8 {
		script += "flood 100000000\n"
	}
	work := ci.Work{Timeout: 1e12, MaxConsole: 1 << 40, Run: ci.Run{ID: 1, Spec: &ci.Spec{Script: script}}}
	r := runner.New(runner.Config{Uplink: s, Driver: fake.NewDriver()}, work, ci.Claim{Run: 1})
	r.Run(s.t.Context())
	require.Equal(s.t, ci.OutcomeSucceeded, s.end.Outcome, s.end.Reason)
	require.Equal(s.t, s.size, s.end.Console.Bytes)
	return s.size
}
