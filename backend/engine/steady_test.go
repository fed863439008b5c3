package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// R25: a database clock that is set, forwards or back, makes nobody lost, and
// is believed again once every agent has had a lease's time to renew.
func TestSteady(t *testing.T) {
	t.Parallel()
	const lease = time.Minute
	for name, jump := range map[string]time.Duration{"forwards": 5 * time.Minute, "back": -5 * time.Minute, "a night asleep": 9 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s steady
			own, database := time.Now(), time.Date(2026, 3, 29, 0, 59, 50, 0, time.UTC)
			pass := func(d, jump time.Duration) (bool, time.Duration) {
				own, database = own.Add(d), database.Add(d+jump)
				return s.look(database, own, lease)
			}
			for range 10 { // over the hour at which clocks of people are changed
				believed, jumped := pass(5*time.Second, time.Millisecond)
				require.True(t, believed)
				require.Zero(t, jumped)
			}
			believed, jumped := pass(5*time.Second, jump)
			require.False(t, believed)
			require.Equal(t, jump, jumped)
			believed, _ = pass(lease-time.Second, 0)
			require.False(t, believed, "an agent may not have renewed yet")
			believed, jumped = pass(time.Second, 0)
			require.True(t, believed)
			require.Zero(t, jumped)
		})
	}
}
