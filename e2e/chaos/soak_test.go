package chaos

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/agentd"
	"ci/backend"
	"ci/e2e/rig"
	"ci/pkg/ci"
)

// R32: a thousand short runs leave as many goroutines, open files and
// temporary files as there were before them. What grows with the runs is
// what they are: rows and results. Not beside other tests, whose goroutines
// would count.
func TestSoak(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var spool string
	s := newSystemWith(t, backend.Config{Dir: t.TempDir()}, func(_ *backend.Backend, a *agentd.Config) { spool = a.Dir })
	runs := func(n int) {
		var g errgroup.Group
		g.SetLimit(16)
		for i := range n {
			g.Go(func() error {
				job := []string{"quick", "saves"}[i%2]
				run, _, err := s.backend.Engine.Trigger(ctx, ci.Trigger{Job: job})
				if err != nil {
					return err
				}
				end, err := s.backend.Engine.Wait(ctx, job, run.ID, ci.UntilDone, time.Minute)
				if err == nil && end.Outcome != ci.OutcomeSucceeded {
					err = fmt.Errorf("run %d: %s %s: %s", run.ID, end.Phase, end.Outcome, end.Reason)
				}
				return err
			})
		}
		require.NoError(t, g.Wait())
	}
	runs(100) // whatever is made once is there
	require.NoError(t, rig.Poll(ctx, time.Minute, func() error { return s.idle() }))
	before := holdings(t, spool)
	began := time.Now()
	runs(1000)
	t.Logf("1000 runs in %s; before them there were %+v", time.Since(began).Round(time.Millisecond), before)
	var after held
	err := rig.Poll(ctx, time.Minute, func() error {
		if err := s.idle(); err != nil {
			return err
		}
		if after = holdings(t, spool); after.goroutines > before.goroutines || after.files > before.files || after.spooled > before.spooled {
			return fmt.Errorf("%+v is more than %+v", after, before)
		}
		return nil
	})
	if err != nil {
		stacks := make([]byte, 1<<20)
		t.Fatalf("%v\n%s", err, stacks[:runtime.Stack(stacks, true)])
	}
}

// idle says that nothing of any run is there.
func (s *system) idle() error {
	if left := s.driver.Boxes(); len(left) > 0 {
		return fmt.Errorf("containers of %v are there", left)
	}
	return nil
}

// held is what a process holds.
type held struct{ goroutines, files, spooled int }

func holdings(t *testing.T, spool string) (h held) {
	t.Helper()
	h.goroutines = runtime.NumGoroutine()
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, f := range open {
		// What the databases keep open is theirs: connections come and go with the load.
		if name, err := os.Readlink(filepath.Join("/proc/self/fd", f.Name())); err == nil && !strings.Contains(name, "/ci.db") {
			h.files++
		}
	}
	require.NoError(t, filepath.WalkDir(spool, func(_ string, _ fs.DirEntry, err error) error {
		h.spooled++
		return err
	}))
	return h
}
