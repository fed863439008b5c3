package admission

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProc(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write := func(name, text string) { writeFile(t, root, name, text) }
	p := newProc(root, filepath.Join(root, "none"), t.TempDir(), time.Now)
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
	s, err := NewProc(t.TempDir()).Sample()
	require.NoError(t, err)
	require.Positive(t, s.CPUTotal)
	require.GreaterOrEqual(t, s.MemoryTotal, s.MemoryFree)
}

// A container's limits stand in place of the machine's, by both versions of control groups.
func TestControlGroups(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		files map[string]string
		want  Sample // what is not 0 is compared
	}{
		"version 2, the container's own root": {
			files: map[string]string{
				"proc/self/cgroup": "0::/\n",
				"sys/cpu.max":      "50000 100000\n", "sys/cpu.stat": "usage_usec 7000000\nuser_usec 1\n",
				"sys/memory.max": "1073741824\n", "sys/memory.current": "700000000\n", "sys/memory.stat": "anon 5\ninactive_file 100000000\n",
				"sys/cpu.pressure": "some avg10=42.00 avg60=0 avg300=0 total=0\n",
				"sys/io.pressure":  "some avg10=99.00 avg60=0\nfull avg10=7.00 avg60=0\n",
			},
			want: Sample{Cores: 0.5, CPUBusy: 7_000_000, CPUTotal: 5_000_000, CPUStall: 0.42, IOStall: 0.07, MemoryTotal: 1 << 30, MemoryFree: 1<<30 - 600_000_000},
		},
		"version 2, a parent is tighter": {
			files: map[string]string{
				"proc/self/cgroup":      "0::/pod/agent\n",
				"sys/pod/agent/cpu.max": "90000 100000\n", "sys/pod/agent/memory.max": "max\n",
				"sys/pod/cpu.max": "25000 100000\n", "sys/pod/cpu.stat": "usage_usec 12\n", "sys/pod/memory.max": "536870912\n", "sys/pod/memory.current": "1000\n",
			},
			want: Sample{Cores: 0.25, CPUBusy: 12, CPUTotal: 2_500_000, MemoryTotal: 512 << 20, MemoryFree: 512<<20 - 1000},
		},
		"version 2, without limits": {
			files: map[string]string{"proc/self/cgroup": "0::/a\n", "sys/a/cpu.max": "max 100000\n", "sys/a/memory.max": "max\n", "sys/a/memory.current": "5\n"},
			want:  Sample{CPUBusy: 166, CPUTotal: 1006, MemoryTotal: 8 << 30, MemoryFree: 4000000 << 10, CPUStall: 0.1},
		},
		"version 1, its path is the host's": {
			files: map[string]string{
				"proc/self/cgroup":         "9:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/\n",
				"sys/cpu/cpu.cfs_quota_us": "50000\n", "sys/cpu/cpu.cfs_period_us": "100000\n", "sys/cpuacct/cpuacct.usage": "9000\n",
				"sys/memory/memory.limit_in_bytes": "1073741824\n", "sys/memory/memory.usage_in_bytes": "1000\n", "sys/memory/memory.stat": "total_inactive_file 400\n",
			},
			want: Sample{Cores: 0.5, CPUBusy: 9, CPUTotal: 5_000_000, CPUStall: 0.1, MemoryTotal: 1 << 30, MemoryFree: 1<<30 - 600},
		},
		"version 1, without limits": {
			files: map[string]string{
				"proc/self/cgroup":         "9:memory:/\n3:cpu:/\n",
				"sys/cpu/cpu.cfs_quota_us": "-1\n", "sys/cpu/cpu.cfs_period_us": "100000\n", "sys/memory/memory.limit_in_bytes": "9223372036854771712\n",
			},
			want: Sample{CPUBusy: 166, MemoryTotal: 8 << 30, CPUStall: 0.1},
		},
		"more than the machine has": {
			files: map[string]string{"proc/self/cgroup": "0::/\n", "sys/cpu.max": "99900000 100000\n", "sys/memory.max": "999999999999\n"},
			want:  Sample{CPUBusy: 166, MemoryTotal: 8 << 30},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for name, text := range map[string]string{
				"proc/stat": "cpu  100 10 50 800 40 0 5 1 30 0\n", "proc/meminfo": "MemTotal: 8022372 kB\nMemAvailable: 4000000 kB\n",
				"proc/pressure/cpu": "some avg10=10.00 avg60=0\n",
			} {
				writeFile(t, root, name, text)
			}
			for name, text := range c.files {
				writeFile(t, root, name, text)
			}
			now := time.Unix(0, 0)
			p := newProc(filepath.Join(root, "proc"), filepath.Join(root, "sys"), root, func() time.Time { return now })
			now = now.Add(10 * time.Second)
			s, err := p.Sample()
			require.NoError(t, err)
			for _, f := range []struct {
				name      string
				want, got any
			}{
				{"Cores", c.want.Cores, s.Cores},
				{"CPUBusy", c.want.CPUBusy, s.CPUBusy},
				{"CPUTotal", c.want.CPUTotal, s.CPUTotal},
				{"CPUStall", c.want.CPUStall, s.CPUStall},
				{"IOStall", c.want.IOStall, s.IOStall},
				{"MemoryTotal", c.want.MemoryTotal, s.MemoryTotal},
				{"MemoryFree", c.want.MemoryFree, s.MemoryFree},
			} {
				if !reflect.ValueOf(f.want).IsZero() {
					require.EqualValues(t, f.want, f.got, f.name)
				}
			}
			if c.want.Cores == 0 {
				require.EqualValues(t, runtime.NumCPU(), s.Cores)
			}
		})
	}
}

func writeFile(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}
