package checkout

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/toolbox/pipe"
)

const privateToken = "ghs_0123456789secret"

// private stands before a world's server and wants the token for project.git. It
// notes who is shown it.
type private struct {
	*httptest.Server
	mu    sync.Mutex
	shown map[string]int // paths, with how often they got an Authorization
}

func authorization() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+privateToken))
}

func newPrivate(t *testing.T, w *lfsWorld) *private {
	t.Helper()
	p := &private{shown: map[string]int{}}
	behind, err := url.Parse(strings.TrimSuffix(w.url, "/project.git"))
	require.NoError(t, err)
	next := httputil.NewSingleHostReverseProxy(behind)
	p.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("Authorization")
		if given != "" {
			p.mu.Lock()
			p.shown[strings.SplitN(r.URL.Path, "/", 3)[1]]++
			p.mu.Unlock()
		}
		if strings.HasPrefix(r.URL.Path, "/project.git") && given != authorization() {
			rw.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
			http.Error(rw, "no", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(rw, r)
	}))
	t.Cleanup(p.Close)
	w.url = p.URL + "/project.git"
	w.href = func(oid string) string { return p.URL + "/objects/" + oid }
	return p
}

func privateFetch(w *lfsWorld, dir, mirror, authorization string) (said string, err error) {
	var out strings.Builder
	err = Fetch(pipe.Fetch{URL: w.url, CommitSHA: w.sha, Depth: 1, Dir: dir, Mirror: mirror, Submodules: true, Authorization: authorization}, func(line string) {
		out.WriteString(line + "\n")
	})
	return out.String(), err
}

// A private repository is fetched with its token, which stays nowhere and is shown to nobody else.
func TestPrivateRepository(t *testing.T) {
	t.Parallel()
	large := []byte("large")
	oid, text := lfsObjectOf(large)
	for name, mirrored := range map[string]bool{"from the server": false, "by a mirror": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newLFSWorld(t, map[string]string{".gitattributes": "*.bin filter=lfs\n", "a.bin": text, "plain": "text\n"})
			w.objects[oid] = large
			p := newPrivate(t, w)
			dir, mirror := t.TempDir(), ""
			if mirrored {
				mirror = t.TempDir()
			}
			said, err := privateFetch(w, dir, mirror, authorization())
			require.NoError(t, err, said)
			got, err := os.ReadFile(filepath.Join(dir, "a.bin"))
			require.NoError(t, err)
			require.Equal(t, "large", string(got))
			require.NotContains(t, said, "no help", "the mirror works too")
			require.Len(t, p.shown, 1)
			require.Positive(t, p.shown["project.git"], "and not to where the objects are")
			for _, folder := range []string{dir, mirror} {
				require.Empty(t, filesWith(t, folder, privateToken, authorization()[len("Basic "):]))
			}
		})
	}
}

// Who has no token, or an old one, is told so without the token.
func TestPrivateRepositoryIsShut(t *testing.T) {
	t.Parallel()
	w := newLFSWorld(t, map[string]string{"plain": "text\n"})
	newPrivate(t, w)
	for _, given := range []string{"", "Basic b2xkOnRva2Vu"} {
		said, err := privateFetch(w, t.TempDir(), "", given)
		require.Error(t, err)
		require.ErrorContains(t, err, "whether the forge's App is installed")
		require.NotContains(t, said+err.Error(), "b2xkOnRva2Vu")
	}
}

// A submodule is the choice of who wrote the commit: the repository's token opens no other one.
func TestSubmoduleGetsNoToken(t *testing.T) {
	t.Parallel()
	w := newLFSWorld(t, map[string]string{"plain": "text\n", ".gitmodules": "[submodule \"sub\"]\n\tpath = sub\n\turl = ../other.git\n"})
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = filepath.Join(w.root, "project.git")
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return strings.TrimSpace(string(out))
	}
	git("clone", "--quiet", "--bare", ".", filepath.Join(w.root, "other.git"))
	git("update-index", "--add", "--cacheinfo", "160000,"+w.sha+",sub")
	git("commit", "--quiet", "-m", "with a submodule")
	w.sha = git("rev-parse", "HEAD")
	p := newPrivate(t, w)
	dir := t.TempDir()
	said, err := privateFetch(w, dir, "", authorization())
	require.NoError(t, err, said)
	require.FileExists(t, filepath.Join(dir, "sub", "plain"))
	require.Len(t, p.shown, 1, "%v", p.shown)
	require.Positive(t, p.shown["project.git"])
}

// filesWith names the files of a folder that hold one of the texts.
func filesWith(t *testing.T, folder string, texts ...string) (found []string) {
	t.Helper()
	if folder == "" {
		return nil
	}
	require.NoError(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(data, []byte(text)) {
				found = append(found, path)
			}
		}
		return err
	}))
	return found
}
