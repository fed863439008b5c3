package web

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCache(t *testing.T) {
	t.Parallel()
	c := newCache[string, int](10)
	c.put("a", 1, 4)
	c.put("b", 2, 4)
	_, ok := c.get("a") // used last now
	require.True(t, ok)
	c.put("c", 3, 4)
	_, ok = c.get("b")
	require.False(t, ok, "what was used longest ago has made room")
	v, ok := c.get("a")
	require.True(t, ok)
	require.Equal(t, 1, v)

	c.put("a", 5, 8)
	require.EqualValues(t, 8, c.held, "one that has grown takes the room of others")
	require.Equal(t, 5, c.getOrMake("a", func() (int, int64) { panic("it is there") }))
	require.Equal(t, 6, c.getOrMake("d", func() (int, int64) { return 6, 2 }))
	require.EqualValues(t, 10, c.held)

	c.put("huge", 7, 11)
	_, ok = c.get("huge")
	require.False(t, ok, "it has no room for itself")
	require.LessOrEqual(t, c.held, c.room)
	require.Equal(t, len(c.at), c.used.Len())
}
