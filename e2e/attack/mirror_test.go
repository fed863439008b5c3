package attack

import (
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// mirrorBudget makes repositories of a MiB large ones, which get a mirror.
const mirrorBudget = "32MiB"

// mirrorAttacks are at what an agent keeps of large repositories, which one
// run's checkout leaves for the next one's.
func mirrorAttacks() []attack {
	return []attack{
		{
			name: "mirror-reach", what: "the mirror of one's own repository, and of all others: by mounts, by its volume's name in a service and in a build", stops: "only checkouts mount one, where nothing of a job runs; volumes that services name are the run's own",
			test: func(t *testing.T, w *world) {
				m := w.mirrored(t)
				look := "nothing /mirror /m/lock /m/repository /var/lib/docker\nif grep -i mirror /proc/self/mountinfo; then echo BREACH; else echo 'held: it is not mounted'; fi\n"
				small := spec{"limits": spec{"memory": "64M"}}
				for _, volume := range m.volumes {
					run := m.play(t, m.files, spec{"script": prelude + look, "services": spec{"thief": spec{
						"image": w.image, "volumes": []string{volume + ":/m"}, "deploy": spec{"resources": small},
						"command": []string{"sh", "-c", dollars(prelude + look + "touch /m/mine; sleep 1000")},
					}}})
					held(t, run.console)
					held(t, w.logs(t, run.Run))
				}
				for _, mount := range []string{"type=cache,id=" + m.volumes[0], "type=bind,source=/mirror", "type=bind,from=" + m.volumes[0]} {
					run := w.build(t, "cat /found", map[string]string{"Dockerfile": "FROM " + w.image + "\nRUN --mount=" + mount + ",target=/m ls -R /m | grep -c -e lock -e pack | tee /found\n"}, nil)
					require.NotRegexp(t, `(?m)^[1-9]\d*$`, run.console)
				}
			},
		},
		{
			name: "mirror-poison", what: "poisoning what the next run is checked out from: hooks, settings, alternates and broken objects in one's own `.git`, trees and submodules that are such files, a tree with a `.git` in it", stops: "a workspace has copies of objects and nothing of the mirror; what comes out of it is checked object by object; git takes no such tree",
			test: func(t *testing.T, w *world) {
				m := w.mirrored(t)
				evil := `set +e
mkdir -p .git/hooks .git/objects/info; printf '#!/bin/sh\ntouch /workspace/stolen\n' > .git/hooks/post-checkout; chmod 755 .git/hooks/*
printf '[core]\n\tfsmonitor = touch stolen\n\thooksPath = .git/hooks\n[uploadpack]\n\tpackObjectsHook = touch stolen\n' > .git/config; echo /mirror/repository/objects > .git/objects/info/alternates
find .git -name '*.pack' -o -name '*.idx' | while read f; do chmod u+w "$f"; dd if=/dev/zero of="$f" bs=1 seek=100 count=64 conv=notrunc 2>/dev/null; done
for f in .git/objects/??/*; do chmod u+w "$f"; echo junk > "$f"; done; ls -R .git | wc -l; echo poisoned`
				files := map[string]string{"objects/info/alternates": "/etc\n", "hooks/post-checkout": "#!/bin/sh\ntouch /workspace/stolen\n", "config": "[core]\n\tfsmonitor = touch /workspace/stolen\n", "HEAD": "ref: refs/heads/x\n", "lock": "x", "repository/HEAD": "x"}
				for name, content := range m.files {
					files[name] = content
				}
				run := m.play(t, files, spec{"script": evil})
				require.Contains(t, run.console, "poisoned\n")
				m.forge(t)
				forged := w.await(t, m.trigger(t, "forged"))
				require.Equal(t, "error", forged.Outcome, forged.Reason)

				run = m.play(t, m.files, spec{"script": prelude + "nothing stolen .git/hooks/post-checkout .git/objects/info/alternates\ncat word; sha1sum noise; if grep -i -e hook -e monitor .git/config; then echo BREACH; fi"})
				require.Equal(t, "succeeded", run.Outcome, run.Reason)
				require.Contains(t, run.console, "the truth\n")
				require.NotContains(t, run.console, "no help here", "the mirror was spoiled")
				held(t, run.console)
			},
		},
	}
}

// mirrored is a repository that the agent keeps a mirror of.
type mirrored struct {
	*world
	repo, job string
	files     map[string]string
	volumes   []string // all that the agent has now
}

func (w *world) mirrored(t *testing.T) *mirrored {
	t.Helper()
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	m := &mirrored{world: w, repo: "m" + rig.Random(), files: map[string]string{"word": "the truth\n", "noise": string(noise)}}
	require.NoError(t, w.git.Init(m.repo))
	m.job = w.put(t, "git", spec{"url": w.git.URL(m.repo), "configPath": "job.yaml"}, nil)
	for range 2 { // it is known to be large, and gets one with the next checkout
		require.Equal(t, "succeeded", m.play(t, m.files, spec{"script": "true"}).Outcome)
	}
	list, err := w.docker.Objects(t.Context(), "ci.agent="+w.cid.Agent, "ci.role=mirror")
	require.NoError(t, err)
	for _, o := range list {
		m.volumes = append(m.volumes, strings.TrimPrefix(o, "volumes/"))
	}
	require.NotEmpty(t, m.volumes, "there is no mirror to attack")
	return m
}

// play commits files with a job file and plays it.
func (m *mirrored) play(t *testing.T, files map[string]string, s spec) played {
	t.Helper()
	s["environment"] = spec{"image": m.image}
	all := map[string]string{"job.yaml": file(t, s)}
	for name, content := range files {
		all[name] = content
	}
	_, err := m.git.Commit(m.repo, "main", tree(t, all))
	require.NoError(t, err)
	return m.await(t, m.trigger(t, "main"))
}

func (m *mirrored) trigger(t *testing.T, branch string) rig.Run {
	t.Helper()
	var run rig.Run
	require.NoError(t, m.client.Call(t.Context(), http.MethodPost, "/jobs/"+m.job+"/runs", spec{"branchName": branch}, &run))
	return run
}

// forge makes the branch forged, whose tree has a .git of its own.
func (m *mirrored) forge(t *testing.T) {
	t.Helper()
	script := `set -e
hook=$(printf '#!/bin/sh\ntouch /workspace/stolen\n' | git hash-object -w --stdin)
hooks=$(printf '100755 blob %s\tpost-checkout\n' $hook | git mktree)
dot=$(printf '040000 tree %s\thooks\n' $hooks | git mktree)
tree=$( (git ls-tree main; printf '040000 tree %s\t.git\n' $dot) | git mktree)
git update-ref refs/heads/forged $(git commit-tree -m forged $tree)`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir, cmd.Env = filepath.Join(m.git.Dir, m.repo+".git"), append(os.Environ(), rig.GitEnv()...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}
