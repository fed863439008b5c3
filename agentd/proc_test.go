package agentd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProc(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	p := newProc(root, t.TempDir())
	_, err := p.Sample()
	require.ErrorContains(t, err, "read the CPU load")
	write("stat", "cpu  100 10 50 800 40 0 5 1 30 0\ncpu0 1 2 3 4\n")
	_, err = p.Sample()
	require.ErrorContains(t, err, "read the free memory")
	write("meminfo", "MemTotal:        8022372 kB\nMemFree: 1 kB\nMemAvailable:    4000000 kB\n")

	s, err := p.Sample()
	require.NoError(t, err, "without pressure stall information")
	require.EqualValues(t, 166, s.CPUBusy)
	require.EqualValues(t, 1006, s.CPUTotal)
	require.EqualValues(t, 8<<30, s.MemoryTotal, "what the kernel keeps counts")
	require.EqualValues(t, 4000000<<10, s.MemoryFree)
	require.Positive(t, s.DiskFree)
	require.Zero(t, s.IOStall)

	write("pressure/cpu", "some avg10=8.17 avg60=8.92 avg300=5.03 total=104292240\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
	write("pressure/io", "some avg10=70.00 avg60=0.68 avg300=0.22 total=1\nfull avg10=63.00 avg60=0.57 avg300=0.15 total=1\n")
	s, err = p.Sample()
	require.NoError(t, err)
	require.InDelta(t, 0.0817, s.CPUStall, 1e-9)
	require.InDelta(t, 0.63, s.IOStall, 1e-9)
}

func TestProcOfThisMachine(t *testing.T) {
	t.Parallel()
	s, err := newProc("/proc", t.TempDir()).Sample()
	require.NoError(t, err)
	require.Positive(t, s.CPUTotal)
	require.GreaterOrEqual(t, s.MemoryTotal, s.MemoryFree)
}
