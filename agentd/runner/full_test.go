//go:build linux

package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ci/agentd/fake"
	"ci/pkg/ci"
)

// large is a result that does not stay in memory on its way.
var large = strings.Repeat("x", 2<<20)

// A result that the agent's disk has no room for, or no inode (R21, R22), is
// no success; the sentence says whose disk it is. Nothing is left, and what is small
// is stored all the same.
func TestResultsOnAFullDisk(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"bytes": "size=1m", "inodes": "nr_inodes=2"} {
		t.Run("no "+name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
				t.Logf("tmpfs can't be mounted here, so no disk was filled: %v", err)
				return
			}
			defer func() { require.NoError(t, unix.Unmount(dir, 0)) }()
			if name == "inodes" { // the folder itself has the first
				require.NoError(t, os.WriteFile(filepath.Join(dir, "last"), nil, 0o600))
			}
			synctest.Test(t, func(t *testing.T) {
				row := playIn(t, dir, "result large "+large+"; print fine", roomy, "large").wait()
				require.Equal(t, ci.OutcomeError, row.Run.Outcome)
				require.Contains(t, row.Run.Reason, "the agent's disk is full; free some space in "+dir)
				require.Empty(t, row.Results)
				left, err := filepath.Glob(filepath.Join(dir, "result-*"))
				require.NoError(t, err)
				require.Empty(t, left)
				row = playIn(t, dir, "result small x; print fine", roomy, "small").wait()
				require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, row.Run.Reason)
				require.Equal(t, "x", row.Results["small"])
			})
		})
	}
}

func roomy(b *fake.Backend) { b.MaxResult = 64 << 20 }
