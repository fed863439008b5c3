package step

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/toolbox/pipe"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const rest = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 21 0 17 18 4321 19"
	tasks, pages := parse([]byte("12 (a) R (b)" + rest))
	require.EqualValues(t, 21, tasks)
	require.EqualValues(t, 4321, pages)
	tasks, pages = parse([]byte("nonsense"))
	require.EqualValues(t, 1, tasks, "a process that can't be read counts all the same")
	require.Zero(t, pages)
}

func TestProportional(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 5<<10, proportional([]byte("55d0-7fff ---p 0 00:00 0 [rollup]\nRss: 19 kB\nPss: 9 kB\nPss_Anon: 3 kB\nPss_File: 4 kB\nPss_Shmem: 2 kB\n"), 1))
	require.EqualValues(t, 7<<10, proportional([]byte("Pss: 7 kB\n"), 1))
	require.EqualValues(t, 1, proportional(nil, 1))
}

func TestUsage(t *testing.T) {
	t.Parallel()
	proc, err := openProc()
	require.NoError(t, err)
	defer proc.Close()
	child := exec.Command("dd", "if=/dev/zero", "of=/dev/null", "bs=20M") // as much is in its memory
	require.NoError(t, child.Start())
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	var u used
	require.Eventually(t, func() bool {
		u, err = usage(proc, 1<<30, os.Getpagesize())
		return err == nil && u.rss[child.Process.Pid] > 15<<20
	}, time.Minute, 10*time.Millisecond)
	require.Contains(t, u.pids, child.Process.Pid)
	require.NotContains(t, u.pids, os.Getpid(), "this process does not count")
	require.GreaterOrEqual(t, u.tasks, int64(len(u.pids)))
	one := used{pids: []int{child.Process.Pid}, rss: u.rss}
	exact, err := one.exact(proc)
	require.NoError(t, err)
	require.Greater(t, exact, int64(10<<20))
	require.Contains(t, lookAtProcesses(proc, pipe.StepLimits{Memory: 1 << 62, Pids: 1}), "more than 1 processes")
	require.Contains(t, lookAtProcesses(proc, pipe.StepLimits{Memory: 1, Pids: 1 << 30}), "more than 1B of memory")
	require.Empty(t, lookAtProcesses(proc, pipe.StepLimits{Memory: 1 << 62, Pids: 1 << 30}))
	require.Empty(t, countProcesses(proc, pipe.StepLimits{Pids: 1 << 30}))
	require.Contains(t, countProcesses(proc, pipe.StepLimits{Pids: 0}), "more than 0 processes")
	some, err := list(proc, 2)
	require.NoError(t, err)
	require.Greater(t, len(some), 2)
	require.Less(t, len(some), 200)
	text, err := read(proc, strconv.Itoa(child.Process.Pid)+"/stat")
	require.NoError(t, err)
	require.NotEmpty(t, text)
	_, err = read(proc, "999999999/stat")
	require.True(t, gone(err))
}

func TestTake(t *testing.T) {
	t.Setenv(pipe.StepLimitsIn, `{"memory":5,"pids":6,"disk":7,"env":["FTP_PROXY=own","ftp_proxy=a=b"]}`)
	t.Setenv("ftp_proxy", "x")
	l, err := take()
	require.NoError(t, err)
	require.EqualValues(t, 5, l.Memory)
	require.Equal(t, "own", os.Getenv("FTP_PROXY"))
	require.Equal(t, "a=b", os.Getenv("ftp_proxy"))
	for _, none := range []string{"", "http://proxy", `{"memory":5}`, `{"memory":5,"pids":0}`} {
		t.Setenv(pipe.StepLimitsIn, none)
		_, err := take()
		require.ErrorContains(t, err, "names none", none)
		_, there := os.LookupEnv(pipe.StepLimitsIn)
		require.False(t, there)
	}
}
