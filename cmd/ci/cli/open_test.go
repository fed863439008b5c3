package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = []ci.Run{doneRun(7, ci.OutcomeFailed, 1)}
	page := w.server.URL + "/ui/jobs/unit/runs/7"
	require.Equal(t, said{0, page + "\n", ""}, w.run("open", "unit/7"))
	require.Equal(t, said{0, w.server.URL + "/ui/\n", ""}, w.run("open"))
	require.Equal(t, page+"\n", w.run("open", "unit@latest", "--jq", ".url").out)
	require.Equal(t, exitNotFound, w.run("open", "unit/8").code)

	w.tty = true
	require.Equal(t, page+"\n", w.run("open", "unit/7").out, "no browser is known")
	w.env["BROWSER"] = "echo -n shown:"
	require.Equal(t, page+"\nshown: "+page, w.run("open", "unit/7").out)
	require.Equal(t, page+"\n", w.run("open", "unit/7", "--print").out)
	w.env["BROWSER"] = "false"
	got := w.run("open", "unit/7")
	require.Equal(t, exitOther, got.code)
	require.Contains(t, got.err, "set BROWSER")
}
