//go:build linux

package local

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSlots(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, dead, err := takeSlot(dir)
	require.NoError(t, err)
	require.Empty(t, dead)
	require.NoError(t, first.mark(true))
	second, dead, err := takeSlot(dir)
	require.NoError(t, err)
	require.Empty(t, dead, "who lives is left alone")
	require.NotEqual(t, first.agent, second.agent)
	require.NoError(t, second.mark(true))

	second.free() // killed
	third, dead, err := takeSlot(dir)
	require.NoError(t, err)
	require.Empty(t, dead)
	require.Equal(t, second.agent, third.agent, "its place is taken, and with it what it has left")
	third.free()

	first.free() // killed too
	again, dead, err := takeSlot(dir)
	require.NoError(t, err)
	require.Equal(t, first.agent, again.agent)
	require.Len(t, dead, 1)
	require.Equal(t, second.agent, dead[0].agent)
	require.NoError(t, dead[0].mark(false))
	dead[0].free()
	again.free()
	last, dead, err := takeSlot(dir)
	require.NoError(t, err)
	require.Empty(t, dead, "what was tidied up is not looked for again")
	last.free()

	var all []*slot
	for range maxSlots {
		s, _, err := takeSlot(dir)
		require.NoError(t, err)
		all = append(all, s)
	}
	_, _, err = takeSlot(dir)
	require.ErrorContains(t, err, "wait for one of them")
	for _, s := range all {
		s.free()
	}
}
