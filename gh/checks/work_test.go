package checks

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/gh/app"
	"ci/pkg/ci"
)

// book is an outbox that writes down what becomes of checks.
type book struct {
	Outbox
	wait    time.Duration
	refused bool
	dropped int
}

func (b *book) PostponeCheck(_ context.Context, _ int64, _ string, wait time.Duration, refused bool) error {
	b.wait, b.refused = wait, refused
	return nil
}

func (b *book) DropCheck(context.Context, int64, string) error { b.dropped++; return nil }

// A check that can't be told neither keeps its forge from others nor is tried for ever.
func TestChecksThatNeverGetThrough(t *testing.T) {
	t.Parallel()
	b := &book{}
	c, err := New(Config{Apps: app.New(app.Config{}), Outbox: b, Runs: struct{ Runs }{}})
	require.NoError(t, err)
	trouble := ci.Errorf(ci.CodeUnavailable, "the forge answers %d", http.StatusBadGateway)
	fail := func(attempts, refusals int) {
		t.Helper()
		check := ci.Check{ID: 1, OpenCheck: ci.OpenCheck{Origin: ci.Origin{Forge: "github"}}, Attempts: attempts, Refusals: refusals}
		require.NoError(t, c.failed(t.Context(), check, trouble, false))
	}
	fail(10, 0)
	require.Zero(t, b.wait, "as soon as the forge is back")
	require.False(t, b.refused)
	require.Equal(t, []string{"github"}, c.away())

	c.reached("github")
	fail(1, 0)
	require.Equal(t, []string{"github"}, c.away(), "it may have gone away just now")
	c.reached("github")
	fail(sharedTries+1, 2)
	require.Empty(t, c.away(), "the forge takes other checks")
	require.Equal(t, 4*firstRefusal, b.wait)
	require.True(t, b.refused)

	c.heard["github"] = time.Time{}
	fail(patientTries+2, 0)
	require.Equal(t, 4*firstRefusal, b.wait, "it is asked for less and less often")
	fail(maxTries-1, 0)
	require.Equal(t, longestRefusal, b.wait)
	require.Zero(t, b.dropped)
	fail(maxTries, 0)
	require.Equal(t, 1, b.dropped, "and not for ever")
}
