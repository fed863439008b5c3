package disk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

func TestPlaces(t *testing.T) {
	t.Parallel()
	got, err := places(strings.NewReader(`78 77 0:46 / / rw,relatime - fuse.fuse-overlayfs fuse-overlayfs rw
79 78 0:29 / /proc rw,nosuid - proc proc rw
80 78 0:30 / /dev rw - tmpfs tmpfs rw,size=65536k
81 78 254:0 /v/_data /.ci ro,relatime - ext4 /dev/vda rw
82 78 254:0 /w/_data /work\040space rw,relatime - ext4 /dev/vda rw
83 78 254:0 /c/hosts /etc/hosts rw,relatime - ext4 /dev/vda rw
nonsense
`))
	require.NoError(t, err)
	require.Equal(t, []string{"/", "/work space", "/etc/hosts"}, got)
	mine, err := own()
	require.NoError(t, err)
	require.Equal(t, "/", mine[0])
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, n int) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), make([]byte, n), 0o644))
	}
	measure := func() pipe.Used { return Measure([]string{"/nonexistent", dir}, time.Now()) }
	require.Zero(t, measure().Bytes)
	write("a/big", 1<<20)
	first := measure()
	require.InDelta(t, 1<<20, first.Bytes, 16<<10)
	require.NoError(t, os.Link(filepath.Join(dir, "a/big"), filepath.Join(dir, "again")))
	require.InDelta(t, first.Bytes, measure().Bytes, 16<<10, "a second name is no second file")
	require.NoError(t, unix.Truncate(filepath.Join(dir, "a/big"), 1<<40))
	require.InDelta(t, first.Bytes, measure().Bytes, 16<<10, "a hole takes no disk")
	require.NoError(t, os.Symlink("/", filepath.Join(dir, "root")))
	for n := range 300 {
		write("many/"+strings.Repeat("x", n%7)+time.Duration(n).String(), 0)
	}
	require.GreaterOrEqual(t, measure().Bytes, first.Bytes+300*least, "empty files take inodes")
	require.Empty(t, measure().Blind)

	old := Measure([]string{dir}, time.Now().Add(time.Hour))
	require.Zero(t, old.Bytes, "what the image brought is not the run's")
	volume := []string{"/nonexistent", dir}
	require.Zero(t, Changed(volume, time.Now().Add(time.Hour)).Bytes, "nor is what others have kept in a cache")
	require.Equal(t, Measure(volume, time.Now()).Bytes, Changed(volume, time.Time{}).Bytes)
	require.Contains(t, InMemory(), "/dev/shm")

	require.NoError(t, os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", deepest+2)), 0o755))
	require.Contains(t, measure().Blind, "nested more than")
}
