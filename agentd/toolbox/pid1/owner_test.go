package pid1

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// owner is the user and group of a file or link. Tests that change them need root.
func owner(t *testing.T, path string) []uint32 {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can change owners")
	}
	info, err := os.Lstat(path)
	require.NoError(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	return []uint32{stat.Uid, stat.Gid}
}
