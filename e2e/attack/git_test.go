package attack

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// gitAttacks go at the steps before the script: what plans and what checks out.
func gitAttacks() []attack {
	return []attack{
		{
			name: "git-urls", what: "a repository's address that is an option, a program, a file or the machine itself, in 20 spellings", stops: "an allow-list of schemes and of addresses",
			test: func(t *testing.T, w *world) {
				for _, url := range []string{
					"ext::sh -c touch% /stolen", "EXT::sh -c id", "file:///etc", "FILE:///etc", "/etc", "../x", "-oProxyCommand=id", "--upload-pack=id", "-u./x",
					"ssh://-oProxyCommand=id/x", "ssh://git@-oProxyCommand=id/x", "git@-oProxyCommand=id:x", "http://127.0.0.1:" + w.decoy.port + "/x.git",
					"https://127.0.0.1:" + w.decoy.port + "/x.git", "https://[::1]:" + w.decoy.port + "/x.git", "https://2130706433:" + w.decoy.port + "/x.git",
					"https://0x7f000001/x.git", "https://localhost:" + w.decoy.port + "/x.git", "https://169.254.169.254/x.git", "https:///x.git", "https://host/x\n.git", "fd::7",
				} {
					a, err := w.client.Do(t.Context(), http.MethodPut, "/jobs/url", []byte(text(t, spec{"git": spec{"url": url, "configPath": "job.yaml"}})))
					require.NoError(t, err)
					require.Equal(t, http.StatusBadRequest, a.Status, "%q: %s", url, a.Body)
				}
			},
		},
		{
			name: "git-branches", what: "branches that are options of git, or shell", stops: "`git check-ref-format`, no leading `-`, no shell",
			test: func(t *testing.T, w *world) {
				repo := "branches" + rig.Random()
				require.NoError(t, w.git.Init(repo))
				_, err := w.git.Commit(repo, "main", tree(t, map[string]string{"job.yaml": file(t, spec{"script": "true"})}))
				require.NoError(t, err)
				name := w.put(t, "git", spec{"url": w.git.URL(repo), "configPath": "job.yaml"}, nil)
				for _, branch := range []string{"--upload-pack=touch /stolen", "-h", "--exec=id", "--output=/stolen", "a..b", "a b", "a\nb", "@{-1}", "a\u0000b", ".x", "x.lock", "a~1", "a:b", "refs/heads/../x", "\u202e"} {
					a, err := w.client.Do(t.Context(), http.MethodPost, "/jobs/"+name+"/runs", []byte(text(t, spec{"branchName": branch})))
					require.NoError(t, err)
					if a.Status == http.StatusCreated { // a name that git allows, and that is not there
						continue
					}
					require.Equal(t, http.StatusBadRequest, a.Status, "%q: %s", branch, a.Body)
				}
				for _, sha := range []string{"--all", "HEAD", strings.Repeat("0", 39), strings.Repeat("g", 40), "main"} {
					a, err := w.client.Do(t.Context(), http.MethodPost, "/jobs/"+name+"/runs", []byte(text(t, spec{"commitSha": sha})))
					require.NoError(t, err)
					require.Equal(t, http.StatusBadRequest, a.Status, "%q: %s", sha, a.Body)
				}
			},
		},
		{
			name: "config-path", what: "a job file that is a link to the backend's own files, or a path that leaves the repository", stops: "exactly one object of the commit is read; links are not followed",
			test: func(t *testing.T, w *world) {
				run := w.repository(t, tree(t, map[string]string{"job.yaml": "-> " + filepath.Join(w.cid.Data, "admin.token")}), nil, nil)
				require.Equal(t, "error", run.Outcome)
				require.NotContains(t, run.Reason+run.console, w.cid.Token)
				for _, path := range []string{"../job.yaml", "/etc/passwd", "a/../../b", "-x", "a\x00b", ".git/config", "./.GIT/config"} {
					a, err := w.client.Do(t.Context(), http.MethodPut, "/jobs/path", []byte(text(t, spec{"git": spec{"url": "https://git.example/x.git", "configPath": path}})))
					require.NoError(t, err)
					require.NotContains(t, string(a.Body), w.cid.Token)
					if !strings.Contains(strings.ToLower(path), ".git/") && path != "-x" {
						require.Equal(t, http.StatusBadRequest, a.Status, "%q: %s", path, a.Body)
					}
				}
			},
		},
		{
			name: "checkout-environment", what: "parameters that tell git, ssh and the loader what to run: `GIT_SSH_COMMAND`, `GIT_CONFIG_*`, `LD_PRELOAD`, `PATH`, `BASH_ENV`, …", stops: "the checkout has a fixed environment and nothing of the job's",
			test: func(t *testing.T, w *world) {
				evil := map[string]string{
					"GIT_SSH_COMMAND": "touch /workspace/stolen", "GIT_SSH": "/workspace/evil", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor",
					"GIT_CONFIG_VALUE_0": "touch /workspace/stolen", "GIT_EXTERNAL_DIFF": "touch stolen", "GIT_ALLOW_PROTOCOL": "ext:file", "GIT_PROXY_COMMAND": "touch stolen",
					"GIT_TEMPLATE_DIR": "/workspace", "GIT_EXEC_PATH": "/workspace", "LD_PRELOAD": "/workspace/evil.so", "BASH_ENV": "/workspace/evil", "ENV": "/workspace/evil",
					"http_proxy": "http://127.0.0.1:" + w.decoy.port, "https_proxy": "http://127.0.0.1:" + w.decoy.port, "ALL_PROXY": "http://127.0.0.1:" + w.decoy.port,
				}
				files := tree(t, map[string]string{
					"job.yaml": file(t, spec{"script": "unset http_proxy; " + prelude + "nothing stolen /stolen; cat hello", "environment": spec{"image": w.image}}),
					"hello":    "from the repository\n", "evil": "#!/bin/sh\ntouch /workspace/stolen /stolen\n", "evil.so": "not a library",
				})
				run := w.repository(t, files, evil, nil)
				require.Contains(t, run.console, "from the repository")
				held(t, run.console)
			},
		},
		{
			name: "checkout-hooks", what: "what a repository would have git run: hooks, filters, `fsmonitor`, `.gitattributes`, `.gitmodules` with a command", stops: "no hooks, no configuration but our own; nothing of the repository is executed",
			test: func(t *testing.T, w *world) {
				files := tree(t, map[string]string{
					"job.yaml":       file(t, spec{"script": prelude + "nothing stolen /stolen /tmp/stolen; cat text", "environment": spec{"image": w.image}, "git": spec{"submodules": true}}),
					".gitattributes": "* filter=evil diff=evil merge=evil\n", "text": "whole\n", ".githooks/post-checkout": "#!/bin/sh\ntouch /workspace/stolen\n",
					"post-checkout": "#!/bin/sh\ntouch stolen\n", ".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:" + w.decoy.port + "\n",
					".gitconfig": "[core]\n\thooksPath = .githooks\n\tfsmonitor = touch stolen\n",
				})
				run := w.repository(t, files, nil, nil)
				require.Contains(t, run.console, "whole\n")
				held(t, run.console)
			},
		},
		{
			name: "submodule-programs", what: "submodules whose address is a program, a file or an option, or whose update is a command", stops: "git's protocols are limited; a commit's author names no programs",
			test: func(t *testing.T, w *world) {
				for _, url := range []string{"ext::touch /workspace/stolen", "file:///", "/", "-u./evil", "ssh://-oProxyCommand=touch%20stolen/x"} {
					run := w.repository(t, w.withSubmodule(t, "[submodule \"sub\"]\n\tpath = sub\n\turl = "+url+"\n\tupdate = !touch /workspace/stolen\n"), nil, nil)
					require.NotContains(t, run.console, "BREACH:")
					require.NotContains(t, w.results(t, run.Run), "loot")
					require.Equal(t, "error", run.Outcome, "%s: %s", url, run.Reason)
				}
			},
		},
		{
			name: "submodule-host", what: "a submodule at the machine's own services, from the checkout's network", stops: "a proxy of the checkout's: the repository's own host and public addresses of other machines only",
			test: func(t *testing.T, w *world) {
				for _, host := range []string{"127.0.0.1", "localhost", w.host, "[::1]"} {
					run := w.repository(t, w.withSubmodule(t, "[submodule \"sub\"]\n\tpath = sub\n\turl = http://"+host+":"+w.decoy.port+"/x.git\n"), nil, nil)
					require.Equal(t, "error", run.Outcome, run.Reason)
					require.Zero(t, w.decoy.hits(), "the checkout asked a service of the machine at %s", host)
				}
			},
		},
		{
			name: "checkout-links", what: "a repository whose links lead out of the working directory, followed by what readies it", stops: "links are made as they are and changed themselves; the container has no other files than the run's",
			test: func(t *testing.T, w *world) {
				files := tree(t, map[string]string{
					"job.yaml": file(t, spec{"script": prelude + `[ "$(stat -c %u /etc/passwd)" = 0 ] && echo "held: owners" || echo BREACH; refuse touch out/x; refuse cat out/admin.token`, "environment": spec{"image": w.image, "user": "dev"}}),
					"passwd":   "-> /etc/passwd", "root": "-> /", "out": "-> " + w.cid.Data, "up": "-> ../../../../..",
				})
				run := w.repository(t, files, nil, nil)
				held(t, run.console)
			},
		},
	}
}

// withSubmodule is a tree with a submodule and what .gitmodules says about it.
func (w *world) withSubmodule(t *testing.T, modules string) string {
	t.Helper()
	dir := tree(t, map[string]string{
		"job.yaml":    file(t, spec{"script": "echo BREACH: the script ran; ls -la", "environment": spec{"image": w.image}, "git": spec{"submodules": true}, "results": spec{"loot": "sub/*"}}),
		".gitmodules": modules, "evil": "#!/bin/sh\ntouch /workspace/stolen\n", "sub/x": "x",
	})
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"commit", "-q", "-m", "x"}} {
		git := exec.CommandContext(t.Context(), "git", args...)
		git.Dir, git.Env = filepath.Join(dir, "sub"), append(os.Environ(), rig.GitEnv()...)
		out, err := git.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	return dir
}
