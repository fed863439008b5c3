package checkout

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDisplay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, shown string }{
		{"https://host/x.git", "https://host/x.git"},
		{"https://me:hunter2@host/x.git", "https://host/x.git"},
		{"https://token@host/x.git", "https://host/x.git"},
		{"ssh://git@host/x.git", "ssh://git@host/x.git"},
		{"ssh://git:hunter2@host/x.git", "ssh://git@host/x.git"},
		{"git@host:x.git", "git@host:x.git"},
	} {
		require.Equal(t, test.shown, display(test.url))
	}
}

func TestDiscreet(t *testing.T) {
	t.Parallel()
	g := &git{url: "https://me:hunter2@host/x", shown: "https://host/x"}
	for _, said := range []string{
		"fatal: https://me:hunter2@host/x not found",
		"can't look up me:hunter2@host",
		"password hunter2 refused",
	} {
		require.NotContains(t, g.discreet(said), "hunter2")
	}
	plain := &git{url: "https://host/x", shown: "https://host/x"}
	require.Equal(t, "as it is", plain.discreet("as it is"))
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	require.Equal(t, "https:ssh:http:git", protocols("https://h/x", false))
	require.Equal(t, "https:ssh", protocols("https://h/x", true))
	require.Equal(t, "https:ssh", protocols("git@h:x", true))
	require.Equal(t, "https:ssh:git", protocols("GIT://h/x", true))
	require.Equal(t, "https:ssh:http", protocols("http://h/x", true))
	for _, e := range environ("https", "/agent") {
		name, _, ok := strings.Cut(e, "=")
		require.True(t, ok && name != "", e)
	}
}
