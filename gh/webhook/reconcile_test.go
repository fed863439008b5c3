package webhook

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A delivery that is refused each time is asked for less and less often.
func TestPausesBetweenOrdersDouble(t *testing.T) {
	t.Parallel()
	const round = 5 * time.Minute
	now := time.Unix(1_000_000, 0)
	var o order
	require.True(t, o.due(1, round, now))
	for n, pause := range []time.Duration{round, 2 * round, 4 * round, 8 * round, 16 * round, 32 * round, 64 * round, longestAgain, longestAgain} {
		attempt := int64(n + 1)
		o = o.again(attempt, now)
		require.False(t, o.due(attempt, round, now.Add(againAfter-1)), "it may be on its way")
		require.False(t, o.due(attempt+1, round, now.Add(pause-1)), "after %d orders", n+1)
		now = now.Add(pause)
		require.True(t, o.due(attempt+1, round, now), "after %d orders", n+1)
	}
	o = order{}.again(1, now)
	require.True(t, o.due(1, round, now.Add(againAfter)), "an order that GitHub has lost is given again")
}
