package webhook

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestDesk(t *testing.T) {
	t.Parallel()
	woken := 0
	d := newDesk(func() { woken++ })
	add := func(seq int64, repository string, bytes int) (line string, begins bool) {
		return d.add(&ci.Webhook{Seq: seq, Forge: "github", Repository: repository, Body: make([]byte, bytes)})
	}
	a, begins := add(1, "octo/a", 1)
	require.True(t, begins)
	b, begins := add(2, "octo/b", 1)
	require.True(t, begins, "another repository has a line of its own")
	again, begins := add(3, "Octo/A", maxBytesInHand)
	require.False(t, begins, "somebody is at work on it")
	require.Equal(t, a, again)
	require.True(t, d.full(), "bodies are in memory")
	require.EqualValues(t, 1, d.first(a).Seq)
	require.EqualValues(t, 3, d.next(a).Seq)
	require.Zero(t, woken)
	require.Nil(t, d.next(a))
	require.Equal(t, 1, woken, "there is room again")
	require.False(t, d.full())
	_, begins = add(4, "octo/a", 1)
	require.True(t, begins, "its line had ended")
	require.EqualValues(t, 2, d.first(b).Seq)
	for seq := range int64(maxInHand) {
		add(seq, "octo/b", 1)
	}
	require.True(t, d.full())
}
