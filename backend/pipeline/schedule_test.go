package pipeline

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// Runs that are due and that nobody claims are handed out again and again, but
// not as fast as the machine can.
func TestNoSpinOverWhatNobodyClaims(t *testing.T) {
	t.Parallel()
	s := newSite(t, newWorld(), openJournal(t, ""), nil)
	s.put("p", "run('a')")
	for range batch {
		r := ci.PipelineRun{Pipeline: "p", Version: 1, Triggered: time.Now()}
		_, err := s.journal.Begin(t.Context(), &r, "key", "", nil)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ids, began := make(chan int64), time.Now()
	go func() {
		defer close(ids)
		_ = s.service.schedule(ctx, ids)
	}()
	handed := 0
	for range ids {
		if handed++; handed > 3*batch {
			cancel()
		}
	}
	require.Greater(t, handed, 3*batch)
	require.LessOrEqual(t, handed, batch*(2+int(time.Since(began)/breath)))
}
