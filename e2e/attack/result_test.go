package attack

import (
	"archive/zip"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// resultAttacks are on what carries files out: it is root, and the agent stores what it brings.
func resultAttacks() []attack {
	// leads plays a script that lays something out as the result "out", which
	// must not bring what is in the container's passwd file.
	leads := func(what, script string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			run := w.play(t, spec{"script": script, "results": spec{"out": what}, "environment": spec{"image": w.image, "user": "dev", "workdir": "/home/dev/work"}})
			require.NotContains(t, w.result(t, run.Run, "out"), "root:x:0:0")
			require.Empty(t, w.results(t, run.Run))
			require.NotEqual(t, "in_progress", run.Status)
		}
	}
	return []attack{
		{name: "result-link", what: "a result that is a link to a file that the script's user may not read", stops: "regular files only; links are not followed", test: leads("out", "ln -s /etc/passwd out")},
		{name: "result-folder-link", what: "a result by a link to a folder", stops: "paths are walked inside the working directory only", test: leads("dir/etc/passwd", "ln -s / dir")},
		{name: "result-glob-link", what: "a glob that meets links and folders that are links", stops: "the same", test: leads("**/passwd", "mkdir -p a; ln -s /etc a/b; ln -s /etc/passwd a/passwd; ln -s a c")},
		{
			name: "workdir-becomes-link", what: "the working directory replaced by a link at the end of the script", stops: "it is refused",
			test: leads("passwd", "cd ..; rmdir work || mv work old; ln -s /etc work"),
		},
		{
			name: "result-proc", what: "files of the kernel as results: `/proc/1/environ`, `/proc/self/root`", stops: "paths are relative to the working directory",
			test: func(t *testing.T, w *world) {
				for _, p := range []string{"/proc/1/environ", "../proc/1/environ", "a/../../etc/passwd", "/etc/passwd", "..", "a\u0000b"} {
					a, err := w.client.Do(t.Context(), http.MethodPut, "/jobs/result", []byte(text(t, spec{"freestyle": spec{"script": "true", "results": spec{"out": p}}})))
					require.NoError(t, err)
					require.Equal(t, http.StatusBadRequest, a.Status, "%q: %s", p, a.Body)
				}
				leads("x/environ", "ln -s /proc/self x; ln -s /proc/1 y")(t, w)
			},
		},
		{
			name: "result-devices", what: "devices, FIFOs and sockets as results, to hang what reads them", stops: "regular files only",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "mkfifo fifo; ln -s /dev/zero zero; mkdir d; mkfifo d/fifo; echo x > d/file; ln /dev/null hard; nc -l -s 127.0.0.1 -p 1 & mknod null c 1 3; true", "results": spec{"fifo": "fifo", "zero": "zero", "null": "null", "d": "d/*"}})
				require.Equal(t, []string{"d"}, w.results(t, run.Run))
				require.Equal(t, []string{"d/file"}, zipped(t, w.result(t, run.Run, "d")))
			},
		},
		{
			name: "result-sparse", what: "a sparse terabyte, to fill the store", stops: "sizes count before and while bytes stream",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "truncate -s 1024G out; echo small > b", "results": spec{"out": "out", "all": "*"}})
				require.Equal(t, "error", run.Outcome)
				require.Contains(t, run.Reason, "1048576")
				require.Empty(t, w.results(t, run.Run))
			},
		},
		{
			name: "result-many", what: "ten thousand files and folders 2,000 deep", stops: "a limit of files, and of depth",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{
					"script":  "mkdir m d; cd m; seq 10000 | xargs touch; cd ../d; i=0; while [ $i -lt 2000 ]; do mkdir d 2>/dev/null && cd d || break; i=$((i+1)); done; echo x > x; exit 0",
					"results": spec{"many": "m/*", "deep": "d/**/x"}, "timeout": "4m",
				})
				require.NotContains(t, w.results(t, run.Run), "many")
				require.NotContains(t, run.console, "panic")
			},
		},
		{
			name: "result-names", what: "names that climb when somebody unpacks them (zip slip), with newlines, backslashes, escapes and NULs", stops: "such names are refused, and the run says so",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{
					"script":  "mkdir n; cd n; for f in '..\\..\\evil' 'C:\\evil' \"$(printf 'a\\nb')\" \"$(printf '\\033]0;x\\007')\" \"$(printf '\\342\\200\\256txt')\" ' ' '...' '-rf' \"$(printf '\\377')\" good; do echo x > \"./$f\"; done",
					"results": spec{"names": spec{"path": "n/*", "type": "application/zip"}},
				})
				for _, name := range zipped(t, w.result(t, run.Run, "names")) {
					require.NotContains(t, name, "\\")
					require.NotContains(t, name, "\n")
					require.NotContains(t, name, "\x1b")
					require.True(t, strings.HasPrefix(name, "n/"), name)
				}
			},
		},
		{
			name: "result-page", what: "a page with a script as a result, to act in the name of who looks at it", stops: "`nosniff`, attachments, a content security policy",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "echo '<script>alert(1)</script>' > x.html", "results": spec{"page": spec{"path": "x.html", "type": "text/html"}}})
				a, err := w.client.Do(t.Context(), http.MethodGet, path(run.Run)+"/results/page", nil)
				require.NoError(t, err)
				require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
				require.Contains(t, a.Header.Get("Content-Disposition")+a.Header.Get("Content-Security-Policy"), "a")
				require.NotEmpty(t, a.Header.Get("Content-Security-Policy"))
			},
		},
	}
}

// zipped are the names in a zip file.
func zipped(t *testing.T, body string) []string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader([]byte(body)), int64(len(body)))
	require.NoError(t, err, "%.200q", body)
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	return names
}
