package pid1

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithFolder(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/bin":      "/bin:/tools",
		"/bin:/usr": "/bin:/usr:/tools",
		"/bin:":     "/bin:/tools",
		"":          "/tools",
	} {
		require.Equal(t, []string{"A=b", "PATH=" + want, "C=d"}, withFolder([]string{"A=b", "PATH=" + path, "C=d"}, "/tools"))
	}
	require.Equal(t, []string{"PATH=/bin"}, withFolder([]string{"PATH=/bin"}, ""))
	none := user{name: "root", home: "/root"}.environ([]string{"A=b"})
	require.Contains(t, withFolder(none, "/tools"), "PATH="+defaultPath+":/tools", "an image may set no PATH")
}
