package nats

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A server that does not stop is waited for no longer than said; one that stops
// is waited for to its end.
func TestWaitingForAServersStopIsBounded(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	require.False(t, ends(10*time.Millisecond, func() { <-hang }))
	stopped := false
	require.True(t, ends(time.Minute, func() {
		time.Sleep(20 * time.Millisecond)
		stopped = true
	}))
	require.True(t, stopped)
}
