package attack

import (
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// dockerfileAttacks are by what a repository has its environment built from.
func dockerfileAttacks() []attack {
	return []attack{
		{
			name: "build-host", what: "a RUN step that looks for the machine, its engine and a cloud's metadata", stops: "the wall is around the network of builds as well; steps get no mount, no device and no capability of an administrator's",
			test: func(t *testing.T, w *world) {
				run := w.build(t, "echo tried; cat /answers", map[string]string{
					"Dockerfile": "FROM " + w.image + "\nCOPY try /try\nRUN sh /try >/answers 2>&1\n",
					"try": prelude + "gw=$(ip route | awk '/^default/ {print $3}')\n" + knock("$gw", w.decoy.port, "2375") + knock(w.host, w.decoy.port) + knock("169.254.169.254", "80") + knock("127.0.0.1", w.decoy.port) +
						"nothing /var/run/docker.sock /run/docker.sock " + w.cid.Data + "\nrefuse mount -t tmpfs none /tmp\nrefuse mknod /tmp/disk b 254 0\nrefuse cat /dev/kmsg\nif env | grep " + w.canary + "; then echo BREACH; fi\ntrue\n",
				}, nil)
				require.Contains(t, run.console, "tried\n")
				held(t, run.console)
			},
		},
		{
			name: "build-links", what: "a context with links to the machine's files, copied as they are, by their names and through them", stops: "the context is read in a container of its own, which has the checkout alone; links stay links",
			test: func(t *testing.T, w *world) {
				token := filepath.Join(w.cid.Data, "admin.token")
				links := map[string]string{"token": "-> " + token, "data": "-> " + w.cid.Data, "up": "-> ../../../../../../.." + token, "root": "-> /"}
				files := maps.Clone(links)
				files["Dockerfile"] = "FROM " + w.image + "\nCOPY . /all/\n"
				run := w.build(t, prelude+"for f in /all/token /all/data/admin.token /all/up /all/root"+token+"; do refuse cat $f; done", files, nil)
				held(t, run.console)
				for _, copied := range []string{"token", "data/admin.token", "up"} {
					files := maps.Clone(links)
					files["Dockerfile"] = "FROM " + w.image + "\nCOPY " + copied + " /stolen\n"
					run := w.build(t, "cat /stolen && echo BREACH", files, nil)
					require.Equal(t, "error", run.Outcome, copied)
					require.NotContains(t, run.console+run.Reason, w.cid.Token)
				}
			},
		},
		{
			name: "build-secrets", what: "a run's secrets in its build: as arguments of their names, in steps' environments, by `--mount=type=secret` and `type=ssh`", stops: "a build gets the arguments that the file writes, and nothing of the run",
			test: func(t *testing.T, w *world) {
				const env = "TREASURE"
				run := w.build(t, `[ -n "$TREASURE" ] || echo BREACH: there is nothing to steal
for f in /env /secret; do if grep -F "$TREASURE" $f; then echo "BREACH: it is in $f"; else echo "held: not in $f"; fi; done
[ -z "$COPIED" ] && echo "held: no argument" || echo BREACH`, map[string]string{
					"Dockerfile": "FROM " + w.image + "\nARG TREASURE\nENV COPIED=$TREASURE\nRUN env > /env; mount >> /env\n" +
						"RUN --mount=type=secret,id=TREASURE --mount=type=ssh cat /run/secrets/* /run/buildkit/* > /secret 2>/dev/null; env >> /secret\n",
				}, []string{env})
				held(t, run.console)
				for _, mount := range []string{"secret,id=TREASURE,required", "ssh,required"} {
					run := w.build(t, "echo BREACH", map[string]string{"Dockerfile": "FROM " + w.image + "\nRUN --mount=type=" + mount + " true\n"}, []string{env})
					require.Equal(t, "error", run.Outcome, mount)
				}
			},
		},
		{
			name: "build-steps", what: "steps that leave the wall: the host's network, all rights, ADD of addresses, a frontend of one's own, and images that are the agents'", stops: "each step is looked at before the engine gets it; only BuildKit's own frontend of ours reads Dockerfiles",
			test: func(t *testing.T, w *world) {
				decoy := "http://" + w.host + ":" + w.decoy.port
				for _, step := range []string{
					"RUN --network=host true", "RUN --security=insecure true", "ADD " + decoy + "/x /x", "ADD " + decoy + "/x.git#main /x",
					"COPY --from=ci-toolbox:x / /x", "COPY --from=ci-build:x / /x",
				} {
					run := w.build(t, "echo BREACH", map[string]string{"Dockerfile": "# syntax=" + w.host + ":" + w.decoy.port + "/evil\nFROM " + w.image + "\n" + step + "\n"}, nil)
					require.Equal(t, "error", run.Outcome, step)
					require.NotContains(t, run.console, "BREACH", step)
				}
				require.Zero(t, w.decoy.hits(), "the engine asked a service of the machine")
			},
		},
		{
			name: "build-greed", what: "using the machine up in a RUN step: a fork bomb, all memory, memory by files, the disk, a cache; and ending, stopping and covering what watches it", stops: "PID 1 of a step is ours, measures what the step uses and kills all of it at a limit",
			test: func(t *testing.T, w *world) {
				for step, says := range map[string]string{
					"RUN bomb() { bomb | bomb & }; bomb; sleep 600":                                    "processes (resources.pids)",
					"RUN for s in 1 2 3 9 15 19 24; do kill -$s 1; done; while :; do sleep 600 & done": "processes (resources.pids)",
					"RUN tail -c 2000000000 /dev/zero":                                                 "memory; give the job more in resources.memory",
					"RUN mkdir /m; dd if=/dev/zero of=/dev/shm/x bs=1M count=60; for i in 1 2 3 4 5; do tail -c 50000000 /dev/zero | sleep 600 & done; wait": "memory; give the job more in resources.memory",
					"RUN dd if=/dev/zero of=/fill bs=1M count=200; sleep 600":                                                                                "written",
					"RUN --mount=type=cache,target=/cache dd if=/dev/zero of=/cache/fill bs=1M count=200; sleep 600":                                         "written",
					"RUN --mount=type=bind,from=" + w.image + ",target=/proc true":                                                                           "can't be built",
					"RUN --mount=type=bind,from=" + w.image + ",source=/bin,target=/~ci true":                                                                "begin with neither ~",
				} {
					run := w.build(t, "echo BREACH", map[string]string{"Dockerfile": "FROM " + w.image + "\nRUN : " + rig.Random() + "\n" + step + "\n"}, nil)
					require.Equal(t, "error", run.Outcome, "%.100s: %s", step, run.Reason)
					require.Contains(t, run.Reason, says, "%.100s", step)
					require.NotContains(t, run.console, "BREACH")
				}
				after := w.play(t, spec{"script": "echo fine"})
				require.Equal(t, "succeeded", after.Outcome, after.Reason)
			},
		},
	}
}

// build plays a script in what the Dockerfile of a tree makes, with secrets of these names.
func (w *world) build(t *testing.T, script string, files map[string]string, secrets []string) played {
	t.Helper()
	s := spec{"script": script, "environment": spec{"dockerfile": "Dockerfile"}, "timeout": "4m"}
	if secrets != nil {
		s["env"] = secrets
	}
	files["job.yaml"] = file(t, s)
	repo := "b" + rig.Random()
	require.NoError(t, w.git.Init(repo))
	_, err := w.git.Commit(repo, "main", tree(t, files))
	require.NoError(t, err)
	name := w.put(t, "git", spec{"url": w.git.URL(repo), "configPath": "job.yaml"}, nil)
	for _, s := range secrets {
		require.NoError(t, w.client.Call(t.Context(), http.MethodPut, "/jobs/"+name+"/secrets/"+url.PathEscape(s), spec{"value": "treasure-" + w.canary}, nil))
	}
	var run rig.Run
	require.NoError(t, w.client.Call(t.Context(), http.MethodPost, "/jobs/"+name+"/runs", spec{"branchName": "main"}, &run))
	return w.await(t, run)
}
