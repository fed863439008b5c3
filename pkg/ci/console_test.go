package ci

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConsoleTimes(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	times := ConsoleTimes{{Offset: 10, Length: 5, At: at(1)}, {Offset: 15, Length: 1, At: at(2)}}
	require.Equal(t, int64(16), times.End())
	for offset, want := range map[int64]time.Time{9: {}, 10: at(1), 14: at(1), 15: at(2), 16: {}} {
		got, ok := times.Of(offset)
		require.Equal(t, want, got, offset)
		require.Equal(t, !want.IsZero(), ok)
	}
	_, ok := ConsoleTimes{}.Of(0)
	require.False(t, ok)
	require.Zero(t, ConsoleTimes{}.End())
}
