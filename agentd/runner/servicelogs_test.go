package runner_test

import (
	"archive/zip"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/fake"
	"ci/pkg/ci"
)

// unzipped is the result with what services printed, by file.
func unzipped(t *testing.T, row fake.Row) map[string]string {
	t.Helper()
	text, ok := row.Results[ci.ServiceLogs]
	if !ok {
		return nil
	}
	z, err := zip.NewReader(strings.NewReader(text), int64(len(text)))
	require.NoError(t, err)
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		files[f.Name] = string(b)
	}
	return files
}

// What services print is a result of the run, whatever becomes of it.
func TestServiceLogs(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		script  string
		abort   time.Duration
		outcome ci.Outcome
		files   map[string]string
	}{
		"none":      {script: "print x", outcome: ci.OutcomeSucceeded},
		"succeeded": {script: "prepare-log db ready; log db one; log web hello; log db two", outcome: ci.OutcomeSucceeded, files: map[string]string{"db.log": "ready\none\ntwo\n", "web.log": "hello\n"}},
		"failed":    {script: "log db FATAL; exit 1", outcome: ci.OutcomeFailed, files: map[string]string{"db.log": "FATAL\n"}},
		"never prepared": {
			script: "prepare-log db no space; prepare-fail service db ended", outcome: ci.OutcomeError, files: map[string]string{"db.log": "no space\n"},
		},
		"aborted": {script: "log db one; sleep 1h", abort: time.Second, outcome: ci.OutcomeAborted, files: map[string]string{"db.log": "one\n"}},
		"aborted before": {
			script: "prepare-log db one; prepare-sleep 1h", abort: time.Second, outcome: ci.OutcomeAborted, files: map[string]string{"db.log": "one\n"},
		},
		"lost":  {script: "log db one; lose", outcome: ci.OutcomeError, files: map[string]string{"db.log": "one\n"}},
		"panic": {script: "log db one; panic", outcome: ci.OutcomeError, files: map[string]string{"db.log": "one\n"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := play(t, c.script, nil)
				if c.abort > 0 {
					after(c.abort)
					b.runner.Abort("")
				}
				row := b.wait()
				require.Equal(t, c.outcome, row.Run.Outcome, row.Run.Reason)
				require.Equal(t, c.files, unzipped(t, row))
				require.Equal(t, c.files != nil, strings.Contains(string(row.Console), "ci: result services: stored "))
			})
		})
	}
}

// A service that never stops printing costs its limit and no more, and takes
// no room from the others' results.
func TestServiceLogsAreCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		row := play(t, "log db before; log-flood web 40000000; log-flood a 16000000; log-flood b 16000000; log-flood c 16000000; log-flood d 16000000; log db after; result x 1", nil, "x").wait()
		require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, row.Run.Reason)
		require.Equal(t, "1", row.Results["x"])
		files := unzipped(t, row)
		require.Contains(t, files["web.log"], "ci: the log has reached its limit of 16MiB for a service, or of 64MiB for all of a run; what web printed from here on was not stored\n")
		require.InDelta(t, 16<<20, len(files["web.log"]), 1000)
		total := 0
		for _, text := range files {
			total += len(text)
		}
		require.InDelta(t, 64<<20, total, 1000)
		require.Contains(t, files["db.log"], "before\n\nci: the log has reached its limit")
	})
}

// Where nothing can be written the run goes on, and the log says so.
func TestServiceLogsOnAFullDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := play(t, "sleep 1s; log db one; print fine", nil)
		require.NoError(t, os.RemoveAll(b.dir))
		row := b.wait()
		require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, row.Run.Reason)
		require.Contains(t, unzipped(t, row)["db.log"], "ci: what db printed from here on could not be stored")
	})
}

// A run whose services' logs can't be stored is no success.
func TestServiceLogsCantBeStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		row := play(t, "log db one", func(b *fake.Backend) {
			b.TTL = time.Hour
			b.Fault = func(_ context.Context, name string, _ int, _ bool) error {
				if name == "result" {
					return errors.New("the store is full")
				}
				return nil
			}
		}).wait()
		require.Equal(t, ci.OutcomeError, row.Run.Outcome)
		require.Contains(t, row.Run.Reason, "result services could not be uploaded: the store is full")
	})
}

// A driver may say something while the script prints.
func TestSay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		row := play(t, "write half; say service db ended with status 1; print rest", nil).wait()
		require.Equal(t, "half\nci: service db ended with status 1\nrest\n", string(row.Console))
	})
}
