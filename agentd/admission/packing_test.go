package admission

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestHesitation(t *testing.T) {
	t.Parallel()
	offered := ci.Quota{CPUs: 4, Memory: 8 << 30}
	held := func(cpus float64, gib int64) ci.Quota { return ci.Quota{CPUs: cpus, Memory: gib << 30} }
	last := time.Duration(-1)
	for _, h := range []ci.Quota{held(4, 8), held(3, 6), held(2, 4), held(1, 2), held(0, 0)} {
		d := Hesitation("a", offered, h)
		require.Greater(t, d, last, "who has more free waits longer")
		require.LessOrEqual(t, d, MaxHesitation)
		last = d
	}
	require.Equal(t, Hesitation("a", offered, held(0, 4)), Hesitation("a", offered, held(2, 0)), "the scarcer one counts")
	require.Equal(t, Hesitation("a", offered, held(1, 2)), Hesitation("a", offered, held(1, 2)), "always the same")
	require.GreaterOrEqual(t, Hesitation("a", offered, held(9, 9)), time.Duration(0))
	require.Zero(t, Hesitation("a", ci.Quota{}, held(0, 0)))
}

// Of a thousand idle agents few ask in the first two milliseconds, and every
// hundred names has an early one.
func TestHesitationOfEquals(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	for i := range 1000 {
		all = append(all, Hesitation(fmt.Sprintf("agent-%d", i), ci.Quota{CPUs: 4, Memory: 8}, ci.Quota{}))
	}
	first, soon := MaxHesitation, 0
	for _, d := range all {
		first = min(first, d)
	}
	for _, d := range all {
		if d < first+2*time.Millisecond {
			soon++
		}
	}
	require.Less(t, soon, 200)
	require.Less(t, first, MaxHesitation*9/10)
}
