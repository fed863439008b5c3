package terminal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFileName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"report.zip": "report.zip", "a/b.txt": "b.txt", "../../etc/passwd": "passwd", `..\x.exe`: "x.exe",
		"": "name", "..": "name", ".bashrc": "name", "a\nb": "name", "a\u202eb": "name",
	} {
		require.Equal(t, want, FileName(in, "name"), "%q", in)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"12ms": 12 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "59s": 59 * time.Second, "2m05s": 125 * time.Second, "3h04m": 184 * time.Minute, "2d": 50 * time.Hour,
	} {
		require.Equal(t, want, Duration(d))
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	require.Equal(t, "", Age(now, time.Time{}))
	require.Equal(t, "now", Age(now, now.Add(-time.Second)))
	require.Equal(t, "in 1m00s", Age(now, now.Add(time.Minute)))
	require.Equal(t, "5m00s ago", Age(now, now.Add(-5*time.Minute)))
}
