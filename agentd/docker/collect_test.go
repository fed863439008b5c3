package docker

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

type kept struct {
	ci.Result
	body  string
	names []string // of a zip
}

// collect runs script and collects specs.
func collect(t *testing.T, script string, specs []ci.ResultSpec, change ...func(*runner.Order)) (map[string]kept, map[string]runner.Missing) {
	t.Helper()
	exit, output, b := play(t, order(script, append(change, inImage(busyBase))...))
	require.Zero(t, exit.Code, output)
	got := map[string]kept{}
	missing, err := b.Collect(t.Context(), specs, func(r ci.Result, body io.Reader) error {
		raw, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		k := kept{Result: r, body: string(raw)}
		if r.ContentType == "application/zip" {
			z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
			if err == nil {
				for _, f := range z.File {
					k.names = append(k.names, f.Name)
				}
			}
		}
		got[r.Name] = k
		return nil
	})
	require.NoError(t, err)
	lost := map[string]runner.Missing{}
	for _, m := range missing {
		lost[m.Name] = m
	}
	return got, lost
}

func TestCollect(t *testing.T) {
	t.Parallel()
	const script = `
mkdir -p reports/deep dist
echo '<a/>' > reports/one.xml; echo '<b/>' > reports/deep/two.xml; echo text > reports/deep/note.txt
echo app > dist/app.tar; echo zip > dist/done.zip; echo ok > coverage.out
ln -s one.xml reports/link.xml; ln -s /etc/passwd reports/passwd.xml; ln -s ../../.. reports/up
mkfifo reports/pipe.xml; echo x > "reports/new
line.xml"; echo y > 'reports/back\slash.xml'; printf '<c/>' > "$(printf 'reports/bad\377.xml')"
`
	got, missing := collect(t, script, []ci.ResultSpec{
		{Name: "junit", Path: "reports/**/*.xml", Type: "application/zip"},
		{Name: "tar", Path: "dist/app.tar"},
		{Name: "zip", Path: "dist/done.zip", Type: "application/zip"},
		{Name: "coverage", Path: "coverage.out", Type: "text/plain"},
		{Name: "folder", Path: "reports/deep"},
		{Name: "lone", Path: "reports/deep/two.xml", Type: "application/zip"},
		{Name: "none", Path: "nothing/**/*.xml"},
		{Name: "outside", Path: "../etc/passwd"},
		{Name: "escape", Path: "reports/passwd.xml"},
		{Name: "up", Path: "reports/up/etc/passwd"},
		{Name: "fifo", Path: "reports/pipe.xml"},
	})
	require.Equal(t, []string{"reports/deep/two.xml", "reports/link.xml", "reports/one.xml"}, got["junit"].names)
	require.Equal(t, 3, got["junit"].Files)
	require.Equal(t, "junit.zip", got["junit"].Filename)
	require.Contains(t, missing["junit"].Reason, "was saved without 3 entries with a name")
	require.Contains(t, missing["junit"].Reason, "1 entries that are no regular files")
	require.Contains(t, missing["junit"].Reason, "1 entries that are links out")

	require.Equal(t, kept{ci.Result{Run: got["tar"].Run, Name: "tar", ContentType: "application/x-tar", Filename: "app.tar", Files: 1}, "app\n", nil}, got["tar"])
	require.Equal(t, "zip\n", got["zip"].body)
	require.Equal(t, "done.zip", got["zip"].Filename)
	require.Equal(t, "text/plain", got["coverage"].ContentType)
	require.Equal(t, []string{"reports/deep/note.txt", "reports/deep/two.xml"}, got["folder"].names)
	require.Equal(t, []string{"reports/deep/two.xml"}, got["lone"].names)

	require.Equal(t, "no file matches nothing/**/*.xml", missing["none"].Reason)
	require.Contains(t, missing["outside"].Reason, "not below the working directory")
	require.Contains(t, missing["escape"].Reason, "out of the working directory")
	require.Contains(t, missing, "up")
	require.Contains(t, missing["fifo"].Reason, "neither a file nor a folder")
	require.Len(t, got, 6)
}

func TestCollectIsBounded(t *testing.T) {
	t.Parallel()
	const script = `
truncate -s 1099511627776 sparse; head -c 600000 /dev/zero > big; cp big big2
i=0; while [ $i -lt 120 ]; do touch many-$i; i=$((i+1)); done
i=0; while [ $i -lt 300 ]; do mkdir d 2>/dev/null; cd d; i=$((i+1)); done; echo deep > bottom
`
	limit := func(o *runner.Order) { o.MaxResult, o.MaxResultFiles = 1_000_000, 100 }
	got, missing := collect(t, script, []ci.ResultSpec{
		{Name: "sparse", Path: "sparse"},
		{Name: "many", Path: "many-*"},
		{Name: "both", Path: "big*"},
		{Name: "first", Path: "big"},
		{Name: "second", Path: "big2"},
		{Name: "deep", Path: "d/**"},
	}, limit)
	require.Len(t, got, 1)
	require.Len(t, got["first"].body, 600_000)
	for _, name := range []string{"sparse", "many", "both", "second"} {
		require.True(t, missing[name].TooLarge, name)
	}
	require.Contains(t, missing["sparse"].Reason, "1099511627776 bytes; 1000000 are left")
	require.Contains(t, missing["many"].Reason, "more than 100 files")
	require.Contains(t, missing["deep"].Reason, "no file matches d/**")
	require.Contains(t, missing["deep"].Reason, "more than 256 deep")
}

func TestCollectStopsWhenResultsCanNotBeStored(t *testing.T) {
	t.Parallel()
	_, _, b := play(t, order("echo a > a; head -c 10000000 /dev/zero > b"))
	full := errors.New("disk full")
	_, err := b.Collect(t.Context(), []ci.ResultSpec{{Name: "b", Path: "b"}, {Name: "a", Path: "a"}}, func(r ci.Result, body io.Reader) error {
		return full // reads nothing
	})
	require.ErrorIs(t, err, full)
}

// A script may put anything in the place of its working directory. What
// collects can read more than the script could, and must not be led there.
func TestCollectIsNotLedAstray(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, says string }{
		"link to the first process": {"cd /; rm -rf /work; ln -s /proc/1 /work", "a link in the place"},
		"link to root's files":      {"cd /; rm -rf /work; ln -s /etc /work", "a link in the place"},
		"link above it":             {"cd /; rm -rf /work; ln -s /proc /work; true", "a link in the place"},
		"removed":                   {"cd /; rm -rf /work", "removed the working directory"},
		"a file":                    {"cd /; rm -rf /work; echo > /work", "working directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, missing := collect(t, c.script, []ci.ResultSpec{{Name: "env", Path: "environ"}, {Name: "all", Path: "**"}},
				func(o *runner.Order) { o.Spec.Environment.Workdir = "/work" })
			require.Empty(t, got)
			require.Contains(t, missing["env"].Reason, c.says)
		})
	}
	got, _ := collect(t, "cd /; rm -rf /work; mkdir /work; echo new > /work/a", []ci.ResultSpec{{Name: "a", Path: "a"}},
		func(o *runner.Order) { o.Spec.Environment.Workdir = "/work" })
	require.Equal(t, "new\n", got["a"].body, "a new folder of the same name is fine")
}
