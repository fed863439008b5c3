package engine_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// As many agents keep room as runs wait, and never more than a few.
func TestKeep(t *testing.T) {
	w := setup(t)
	lane := ci.Lane{Class: "small", Priority: ci.PriorityNormal}
	keeps := func(agent string) bool {
		yes, err := w.Keep(w.ctx, agent, lane)
		require.NoError(t, err)
		return yes
	}
	require.False(t, keeps("a"), "nobody waits")
	w.freestyle()
	w.trigger(hello)
	require.True(t, keeps("a"))
	require.True(t, keeps("a"), "it is prolonged")
	require.False(t, keeps("b"), "one run waits, one agent keeps room for it")
	w.trigger(hello)
	require.True(t, keeps("b"))
	require.False(t, keeps("c"))
	for range 40 {
		w.trigger(hello)
	}
	kept := 0
	for i := range 60 {
		if keeps(fmt.Sprintf("more-%d", i)) {
			kept++
		}
	}
	require.Equal(t, 16-2, kept)
	other, err := w.Keep(w.ctx, "c", ci.Lane{Class: "small", Priority: ci.PriorityUrgent})
	require.NoError(t, err)
	require.False(t, other, "nobody waits there")
}

// Messages that are there are not sent again; what is lost comes back.
func TestLostMessageComesBack(t *testing.T) {
	w := setup(t)
	w.freestyle()
	w.loops()
	lanes := []ci.Lane{{Class: "small", Priority: ci.PriorityNormal}}
	w.trigger(hello)
	lost := w.trigger(hello)
	for range 2 {
		d, err := w.queue.Pull(w.ctx, lanes)
		require.NoError(t, err)
		require.NoError(t, d.Ack(w.ctx), "the agent dies after it")
	}
	got := map[int64]bool{}
	for range 2 {
		d, err := w.queue.Pull(w.ctx, lanes)
		require.NoError(t, err)
		got[d.Run] = true
		w.claim(d.Run, "a")
		require.NoError(t, d.Ack(w.ctx))
	}
	require.True(t, got[lost.ID])
}
