package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const triggerDocument = `{"name":"unit","forge":"github","repository":"example/app","events":["push","tag"],"branches":["main"],"job":"unit-test","parameters":{"B":"2","A":"${sha}"},"priority":"normal","forks":"base","version":3,"updatedAt":"2026-03-01T12:00:00Z"}`

func TestEventTriggers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.documents["/github/triggers?job=unit-test&pageSize=500"] = `{"triggers":[` + triggerDocument + `],"nextPageToken":""}`
	w.documents["/github/triggers/unit"] = triggerDocument
	const line = "unit\tunit-test\tgithub\texample/app\tpush,tag\t3\t2026-03-01T12:00:00Z\n"
	require.Equal(t, line, w.run("event-trigger", "ls", "--job", "unit-test").out)
	require.Equal(t, "unit\n", w.run("event-trigger", "ls", "--job", "unit-test", "--jq", ".triggers[].name").out)
	require.Contains(t, w.run("event-trigger", "show", "unit").out, "parameter A\t${sha}\nparameter B\t2\n")
	require.Equal(t, `{"job":"unit-test"}`+"\n", w.run("event-trigger", "show", "unit", "--json", "job").out)

	file := filepath.Join(t.TempDir(), "triggers.yaml")
	require.NoError(t, os.WriteFile(file, []byte("name: unit\nrepository: example/app\njob: unit-test\n---\nname: unit\nevents: [tag]\n"), 0o600))
	got := w.run("event-trigger", "apply", file)
	require.Equal(t, line+line, got.out, got.err)
	require.Contains(t, w.requests, "PUT /github/triggers/unit Bearer tok")
	require.Equal(t, 0, w.run("event-trigger", "rm", "unit").code)
	require.Contains(t, w.requests, "DELETE /github/triggers/unit Bearer tok")

	for _, text := range []string{"", "- a list", "repository: example/app", "name: a/b", "name: [1]"} {
		w.stdin = text
		got := w.run("event-trigger", "apply", "-")
		require.Equal(t, exitUsage, got.code, "%q: %s", text, got.err)
	}
	require.Equal(t, exitNotFound, w.run("event-trigger", "show", "none").code)
	w.documents["/github/triggers/unit"] = `{"name":"evil\u001b]0;x\u0007","parameters":{"A\u202e":"\u001b[2J"}}`
	harmless(t, w.terminal().run("event-trigger", "show", "unit").out)
}
