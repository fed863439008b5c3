package checkout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/toolbox/pipe"
)

// lfsWorld is a repository with a file in Git LFS, and its two servers in one.
type lfsWorld struct {
	root     string // of its git server
	url, sha string
	objects  map[string][]byte // what the server has, by id
	href     func(oid string) string
}

func lfsObjectOf(data []byte) (oid, text string) {
	sum := sha256.Sum256(data)
	oid = hex.EncodeToString(sum[:])
	return oid, fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, len(data))
}

func newLFSWorld(t *testing.T, files map[string]string) *lfsWorld {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "project.git")
	w := &lfsWorld{root: root, objects: map[string][]byte{}}
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return strings.TrimSpace(string(out))
	}
	require.NoError(t, os.Mkdir(dir, 0o755))
	git("init", "--quiet", "-b", "main")
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	git("add", "--all")
	git("commit", "--quiet", "-m", "x")
	w.sha = git("rev-parse", "HEAD")
	backend := &cgi.Handler{
		Path: filepath.Join(git("--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}
	mux := http.NewServeMux()
	mux.Handle("/", backend)
	mux.HandleFunc("POST /project.git/info/lfs/objects/batch", w.batch)
	mux.HandleFunc("GET /objects/{oid}", func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write(w.objects[r.PathValue("oid")]) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL + "/project.git"
	w.href = func(oid string) string { return server.URL + "/objects/" + oid }
	return w
}

func (w *lfsWorld) batch(rw http.ResponseWriter, r *http.Request) {
	var asked struct {
		Operation string    `json:"operation"`
		Objects   []pointer `json:"objects"`
	}
	_ = json.NewDecoder(r.Body).Decode(&asked)
	var objects []map[string]any
	for _, o := range asked.Objects {
		if _, ok := w.objects[o.OID]; ok {
			objects = append(objects, map[string]any{"oid": o.OID, "actions": map[string]any{asked.Operation: map[string]any{"href": w.href(o.OID)}}})
		} else {
			objects = append(objects, map[string]any{"oid": o.OID, "error": map[string]any{"code": 404, "message": "no such object"}})
		}
	}
	rw.Header().Set("Content-Type", "application/vnd.git-lfs+json")
	_ = json.NewEncoder(rw).Encode(map[string]any{"objects": objects})
}

func (w *lfsWorld) fetch(t *testing.T) (dir string, err error) {
	t.Helper()
	dir = t.TempDir()
	return dir, Fetch(pipe.Fetch{URL: w.url, CommitSHA: w.sha, Depth: 1, Dir: dir}, func(string) {})
}

func TestLFS(t *testing.T) {
	t.Parallel()
	large := []byte(strings.Repeat("large ", 1<<18))
	oid, text := lfsObjectOf(large)
	w := newLFSWorld(t, map[string]string{
		".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", ".lfsconfig": "[lfs]\n\turl = http://169.254.169.254/\n",
		"deep/er/a.bin": text, "not-a-pointer.bin": "small", "plain.txt": text,
	})
	w.objects[oid] = large
	dir, err := w.fetch(t)
	require.NoError(t, err)
	for name, want := range map[string]string{"deep/er/a.bin": string(large), "not-a-pointer.bin": "small", "plain.txt": text} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, string(got), name)
	}
	info, err := os.Stat(filepath.Join(dir, "deep/er/a.bin"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode().Perm(), "the mode stays")
	_, err = os.Stat(filepath.Join(dir, ".git", "ci-lfs-part"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestLFSFails(t *testing.T) {
	t.Parallel()
	oid, text := lfsObjectOf([]byte("right"))
	files := map[string]string{".gitattributes": "*.bin filter=lfs\n", "a.bin": text}
	tests := []struct {
		name   string
		change func(w *lfsWorld)
		says   string
	}{
		{"not there", func(*lfsWorld) {}, "no such object"},
		{"other bytes", func(w *lfsWorld) { w.objects[oid] = []byte("wrong") }, "a.bin: what the server sends is not what the commit names"},
		{"more bytes", func(w *lfsWorld) { w.objects[oid] = []byte("right and more") }, "is not what the commit names"},
		{"led astray", func(w *lfsWorld) {
			w.objects[oid] = []byte("right")
			w.href = func(string) string { return "http://127.0.0.1:2375/" }
		}, "is refused: that is a private address"},
		{"no such protocol", func(w *lfsWorld) {
			w.objects[oid] = []byte("right")
			w.href = func(string) string { return "file:///etc/passwd" }
		}, "unsupported protocol scheme"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newLFSWorld(t, files)
			test.change(w)
			dir, err := w.fetch(t)
			require.ErrorContains(t, err, test.says)
			got, err := os.ReadFile(filepath.Join(dir, "a.bin"))
			require.NoError(t, err)
			require.Equal(t, text, string(got), "the pointer stays")
		})
	}
}

// A server may lead a request elsewhere, and what it was opened with stays behind.
func TestLFSRedirectsShowNothing(t *testing.T) {
	t.Parallel()
	oid, text := lfsObjectOf([]byte("bytes"))
	given := map[string]string{"Authorization": "Basic c2VjcmV0", "X-Key": "secret"}
	seen := map[string]http.Header{}
	mux := http.NewServeMux()
	here, there := httptest.NewServer(mux), httptest.NewServer(mux)
	t.Cleanup(here.Close)
	t.Cleanup(there.Close)
	lead := func(to string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			seen[r.URL.Path] = r.Header
			http.Redirect(rw, r, to, http.StatusTemporaryRedirect)
		}
	}
	mux.HandleFunc("POST /objects/batch", lead("/renamed"))
	mux.HandleFunc("POST /renamed", lead(there.URL+"/batch"))
	mux.HandleFunc("GET /object", lead(there.URL+"/bytes"))
	mux.HandleFunc("GET /endless", lead("/endless"))
	mux.HandleFunc("POST /batch", func(rw http.ResponseWriter, r *http.Request) {
		seen[r.URL.Path] = r.Header
		_ = json.NewEncoder(rw).Encode(map[string]any{"objects": []map[string]any{
			{"oid": oid, "actions": map[string]any{"download": action{Href: here.URL + "/object", Header: given}}},
		}})
	})
	mux.HandleFunc("GET /bytes", func(rw http.ResponseWriter, r *http.Request) {
		seen[r.URL.Path] = r.Header
		_, _ = rw.Write([]byte("bytes"))
	})
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".git"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.bin"), []byte(text), 0o600))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	c := &lfsClient{root: root, http: here.Client(), server: here.URL, header: given}
	require.NoError(t, c.fetch([]pointer{{Path: "a.bin", OID: oid, Size: 5}}))
	for path, shown := range map[string]bool{"/objects/batch": true, "/renamed": true, "/batch": false, "/object": true, "/bytes": false} {
		require.Contains(t, seen, path)
		for name := range given {
			require.Equal(t, shown, seen[path].Get(name) != "", "%s at %s", name, path)
		}
	}
	_, err = c.do(t.Context(), http.MethodGet, action{Href: here.URL + "/endless"}, nil)
	require.ErrorContains(t, err, "more than 10 times")
}

// Where the real ssh would go.
func TestSSHConfig(t *testing.T) {
	t.Parallel()
	const lines = "a.example.com ssh-ed25519 A\n[b]:2222 ssh-rsa B\n[b]:2222 ssh-ed25519 B\n[b]:2022 ssh-ed25519 B\n::1 ssh-ed25519 C\n"
	tests := []struct{ lines, address, host, port, want string }{
		{"", "https://host/x", "host", "22", nowhere},
		{lines, "git@b:x", "a.example.com", "22", "a.example.com"},
		{lines, "git@b:x", "a.example.com", "2222", nowhere},
		{lines, "git@b:x", "b", "2222", "b"},
		{lines, "git@b:x", "b", "2022", "b"},
		{lines, "git@b:x", "b", "22", nowhere},
		{lines, "git@b:x", "b", "222", nowhere},
		{lines, "git@b:x", "::1", "22", "::1"},
		{lines, "git@b:x", "::1", "80", nowhere},
		{lines, "git@b:x", "c", "2222", nowhere},
		{lines, "git@b:x", "x.a.example.com", "22", nowhere},
		{"b ssh-ed25519 A\n", "ssh://git@B./x", "B.", "22", "b."}, // ssh itself makes it small
		{"b ssh-ed25519 A\n", "ssh://git@B./x", "B.", "23", nowhere},
		{"b ssh-ed25519 A\n", "ssh://git@C/x", "C", "22", nowhere},
	}
	for _, test := range tests {
		file := filepath.Join(t.TempDir(), "config")
		require.NoError(t, os.WriteFile(file, []byte(config(test.lines, test.address)), 0o600))
		out, err := exec.Command("ssh", "-G", "-F", file, "-p", test.port, "--", test.host).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), "\nhostname "+test.want+"\n", "%s port %s", test.host, test.port)
	}
}

func TestSSHAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"ssh://git@host:2222/a/b.git": "-p 2222 -- git@host a/b.git",
		"ssh://host/a.git":            "-- host a.git",
		"git@host:a/b.git":            "-- git@host a/b.git",
	} {
		host, repository, err := sshAddress(address)
		require.NoError(t, err)
		require.Equal(t, want, strings.Join(host, " ")+" "+repository)
		require.Equal(t, "host", hostOf(address))
	}
	_, _, err := sshAddress("git://host")
	require.Error(t, err)
}
