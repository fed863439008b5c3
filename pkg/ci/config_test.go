package ci_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestTimesOfARun(t *testing.T) {
	t.Parallel()
	c := &ci.Config{GlobalTimeout: ci.Duration(5 * time.Minute), AbortGrace: ci.Duration(10 * time.Second)}
	for _, k := range []struct{ asked, timeout, grace time.Duration }{
		{0, 5 * time.Minute, 10 * time.Second},
		{time.Second, time.Second, time.Second},
		{time.Minute, time.Minute, time.Minute},
		{time.Hour, 5 * time.Minute, 5 * time.Minute},
	} {
		s := &ci.Spec{Timeout: ci.Duration(k.asked), StopGrace: ci.Duration(k.asked)}
		require.Equal(t, k.timeout, c.TimeoutOf(s), k.asked)
		require.Equal(t, k.grace, c.GraceOf(s), k.asked)
	}
	c.GlobalTimeout = ci.Duration(24 * time.Hour)
	require.Equal(t, ci.MaxAbortGrace, c.GraceOf(&ci.Spec{StopGrace: ci.Duration(time.Hour)}), "a spec of an older or newer server")
}
