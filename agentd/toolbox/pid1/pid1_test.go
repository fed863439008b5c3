package pid1

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

func image(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		at := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, []byte(text), 0o755))
	}
	return root
}

func TestLookup(t *testing.T) {
	t.Parallel()
	full := image(t, map[string]string{
		"etc/passwd": "# comment\nroot:x:0:0:root:/root:/bin/sh\nbroken\ndev:x:1000:100:Dev:/home/dev:/bin/sh\nodd:x:abc:1::/:\n12:x:77:77::/twelve:\n",
		"etc/group":  "root:x:0:\nusers:x:100:\nbuild:x:200:other,dev\nwheel:x:201:dev\nbad:x:no:dev\n",
	})
	empty := image(t, nil)
	tests := []struct {
		root, spec string
		want       user
		says       string
	}{
		{full, "", user{"root", "/root", 0, 0, []uint32{0}}, ""},
		{full, "dev", user{"dev", "/home/dev", 1000, 100, []uint32{100, 200, 201}}, ""},
		{full, "1000", user{"dev", "/home/dev", 1000, 100, []uint32{100, 200, 201}}, ""},
		{full, "dev:build", user{"dev", "/home/dev", 1000, 200, []uint32{200}}, ""},
		{full, "dev:5", user{"dev", "/home/dev", 1000, 5, []uint32{5}}, ""},
		{full, "42", user{"42", "/", 42, 0, []uint32{0}}, ""},
		{full, "nemo", user{}, `user "nemo" is not in the image's /etc/passwd`},
		{full, "dev:nemo", user{}, `group "nemo" is not in the image's /etc/group`},
		{full, "odd", user{}, "no valid numbers"},
		{full, "-1", user{}, "not in the image's"},
		{full, "4294967295", user{}, "not in the image's"},
		{empty, "", user{"root", "/root", 0, 0, []uint32{0}}, ""},
		{empty, "7:8", user{"7", "/", 7, 8, []uint32{8}}, ""},
		{empty, "root", user{}, "not in the image's"},
	}
	for _, test := range tests {
		t.Run(test.spec, func(t *testing.T) {
			t.Parallel()
			got, err := lookup(test.root, test.spec)
			if test.says != "" {
				require.ErrorContains(t, err, test.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestEnviron(t *testing.T) {
	t.Parallel()
	u := user{name: "dev", home: "/home/dev"}
	require.Equal(t, []string{"PATH=/x", "A=2", "EMPTY=", "HOME=/home/dev", "USER=dev", "LOGNAME=dev"},
		u.environ([]string{"PATH=/x", "A=1", "nonsense", "=x", "EMPTY=", "A=2"}))
	require.Contains(t, u.environ(nil), "PATH="+defaultPath)
	require.Contains(t, u.environ([]string{"USER=me"}), "USER=me")
}

func TestCommand(t *testing.T) {
	t.Parallel()
	with := image(t, map[string]string{"bin/sh": "", "opt/zsh": ""})
	env := []string{"PATH=" + with + "/bin"}
	tests := []struct {
		name  string
		order pipe.Order
		env   []string
		want  []string
		says  string
	}{
		{"the image's sh", pipe.Order{Script: "x"}, env, []string{with + "/bin/sh", "-e", scriptFile}, ""},
		{"none in the image", pipe.Order{Script: "x"}, []string{"PATH=/nowhere"}, []string{pipe.Binary, "sh", "-e", scriptFile}, ""},
		{"a relative path is not searched", pipe.Order{Script: "x"}, []string{"PATH=.:bin:"}, []string{pipe.Binary, "sh", "-e", scriptFile}, ""},
		{"the job's shell", pipe.Order{Script: "x", Shell: with + "/opt/zsh"}, env, []string{with + "/opt/zsh", "-e", scriptFile}, ""},
		{"the job's shell by name", pipe.Order{Script: "x", Shell: "sh"}, env, []string{with + "/bin/sh", "-e", scriptFile}, ""},
		{"no such shell", pipe.Order{Script: "x", Shell: "/bin/fish"}, env, nil, "environment.shell is /bin/fish"},
		{"first line", pipe.Order{Script: "#!" + with + "/opt/zsh -x\n"}, env, []string{scriptFile}, ""},
		{"first line names nobody", pipe.Order{Script: "#! /no/such -x"}, env, nil, "asks for /no/such"},
		{"empty first line", pipe.Order{Script: "#!\nx"}, env, []string{with + "/bin/sh", "-e", scriptFile}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := command(&test.order, test.env)
			if test.says != "" {
				require.ErrorContains(t, err, test.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestMakeWorkdir(t *testing.T) {
	t.Parallel()
	root := image(t, map[string]string{"file": "", "there/x": ""})
	outside := image(t, map[string]string{"kept": ""})
	require.NoError(t, os.Symlink(filepath.Join(outside, "kept"), filepath.Join(root, "there/link")))
	who := user{uid: 4711, gid: 4712}
	require.ErrorContains(t, makeWorkdir(filepath.Join(root, "file"), false, who), "it is a file")

	require.NoError(t, makeWorkdir(filepath.Join(root, "new/deep"), false, who))
	require.Equal(t, []uint32{4711, 4712}, owner(t, filepath.Join(root, "new/deep")))
	require.Equal(t, []uint32{0, 0}, owner(t, filepath.Join(root, "new")))

	require.NoError(t, makeWorkdir(filepath.Join(root, "there"), false, who))
	require.Equal(t, []uint32{0, 0}, owner(t, filepath.Join(root, "there")), "the image's own is left alone")
	require.NoError(t, makeWorkdir(filepath.Join(root, "there"), true, who))
	for _, name := range []string{"there", "there/x", "there/link"} {
		require.Equal(t, []uint32{4711, 4712}, owner(t, filepath.Join(root, name)))
	}
	require.Equal(t, []uint32{0, 0}, owner(t, filepath.Join(outside, "kept")), "a link was followed")
}

func TestRestoreFile(t *testing.T) {
	t.Parallel()
	root := image(t, map[string]string{"hosts": "poison, and longer than before"})
	at := filepath.Join(root, "hosts")
	require.NoError(t, os.Chmod(at, 0o666))
	require.NoError(t, os.Chown(at, 1, 1))
	hidden := unix.Setxattr(at, "user.leak", []byte("secret"), 0) == nil // not every file system keeps them
	require.NoError(t, restore([]pipe.File{{Path: at, Content: []byte("good\n")}}))
	if _, err := unix.Getxattr(at, "user.leak", make([]byte, 64)); hidden {
		require.ErrorIs(t, err, unix.ENODATA)
	}
	text, err := os.ReadFile(at)
	require.NoError(t, err)
	require.Equal(t, "good\n", string(text))
	info, err := os.Stat(at)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), info.Mode())
	require.Equal(t, []uint32{0, 0}, owner(t, at))

	require.NoError(t, os.Symlink(at, filepath.Join(root, "link")))
	require.ErrorContains(t, restore([]pipe.File{{Path: filepath.Join(root, "link")}}), "can't be put back")
}

// Many small writes become few pieces, and the first byte does not wait.
func TestPump(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	to := &pieces{first: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- pump(to, r) }()
	_, err = io.WriteString(w, "x")
	require.NoError(t, err)
	select {
	case <-to.first:
	case <-time.After(10 * time.Second):
		t.Fatal("the first byte waits")
	}
	line := strings.Repeat("y", 99) + "\n"
	for range 20_000 {
		_, err := io.WriteString(w, line)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, <-done)
	require.Equal(t, 1+20_000*100, to.b.Len())
	require.Less(t, to.n, 5_000, "a message for each line")
}

type pieces struct {
	b     bytes.Buffer
	n     int
	first chan struct{}
}

func (p *pieces) Write(b []byte) (int, error) {
	if p.n++; p.n == 1 {
		close(p.first)
	}
	return p.b.Write(b)
}
