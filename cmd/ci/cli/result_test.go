package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestResultGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = []ci.Run{doneRun(7, ci.OutcomeSucceeded, 0)}
	sum := sha256.Sum256([]byte("data"))
	good := hex.EncodeToString(sum[:])
	w.client.bytes = map[string]string{"cover": "data", "evil": "data", "bad": "other", "console": "no"}
	w.client.results = []ci.Result{
		{Name: "cover", Filename: "coverage.out", SHA256: good, Size: 4, Files: 1, ContentType: "text/plain"},
		{Name: "evil", Filename: "../../.ssh/authorized_keys", SHA256: good},
		{Name: "console", Filename: "console.txt"},
	}
	require.Equal(t, said{0, "data", ""}, w.run("result", "get", "unit", "7", "cover", "-o", "-"))

	dir := filepath.Join(t.TempDir(), "out")
	got := w.run("result", "get", "unit/7", "-o", dir)
	require.Equal(t, said{0, filepath.Join(dir, "coverage.out") + "\n" + filepath.Join(dir, "authorized_keys") + "\n", ""}, got)
	data, err := os.ReadFile(filepath.Join(dir, "coverage.out"))
	require.NoError(t, err)
	require.Equal(t, "data", string(data))

	got = w.run("result", "get", "unit/7", "cover", "-o", dir)
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "is there already")
	require.Equal(t, 0, w.run("result", "get", "unit/7", "cover", "-o", dir, "--force").code)

	w.client.results = append(w.client.results, ci.Result{Name: "bad", Filename: "bad", SHA256: good})
	got = w.run("result", "get", "unit/7", "bad", "-o", filepath.Join(dir, "bad"))
	require.Equal(t, exitOther, got.code)
	require.Contains(t, got.err, "arrived damaged")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2, "a broken download leaves nothing")

	got = w.run("result", "get", "unit/7", "nope")
	require.Equal(t, exitNotFound, got.code)
	require.Contains(t, got.err, "unit/7 has no result nope; it has cover, evil, console, bad")
	require.Equal(t, exitUsage, w.run("result", "get", "unit/7", "-o", "-").code)
	require.Contains(t, w.run("result", "ls", "unit", "@latest").out, "cover\ttext/plain\t4\t1\t"+good+"\tcoverage.out\t\n")
}

func TestSafeName(t *testing.T) {
	t.Parallel()
	for filename, want := range map[string]string{
		"a.zip": "a.zip", "../a.zip": "a.zip", "/etc/passwd": "passwd", `..\..\x`: "x", ".bashrc": "name", "": "name", "..": "name", "a\x1b": "name", "a/": "a",
	} {
		require.Equal(t, want, safeName(ci.Result{Name: "name", Filename: filename}), filename)
	}
}

func TestResultTests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = []ci.Run{doneRun(7, ci.OutcomeFailed, 1)}
	w.client.results = []ci.Result{{Name: "junit"}}
	w.client.bytes["junit"] = `<testsuite name="s"><testcase name="ok" time="1"/><testcase classname="C" name="no" time="0.5"><failure message="1 &lt; 2">trace</failure></testcase></testsuite>`
	require.Equal(t, "failed\ts\tC\tno\t0.500\t1 < 2\n", w.run("result", "tests", "unit", "7").out)
	require.Equal(t, "1\n", w.run("result", "tests", "unit", "7", "--jq", ".failed").out)
	require.Equal(t, "failed s › C › no\n    1 < 2\n    trace\n2 tests: 1 passed, 1 failed, 0 errored, 0 skipped in 1.5s\n", w.terminal().run("result", "tests", "unit", "7").out)
	w.client.bytes["junit"] = "no"
	require.Equal(t, exitUsage, w.run("result", "tests", "unit", "7").code)
}
