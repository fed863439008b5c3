package attack

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// here is what a script prints when it is the script that runs, where it should.
const here = `echo "in $(pwd) as $(id -u)"; tr '\0' ' ' < /proc/1/cmdline; echo; nothing /stolen /tmp/stolen`

// imageAttacks come before the script: by what a job file and an image say.
func imageAttacks() []attack {
	return []attack{
		{
			name: "workdir-proc-fd", what: "`environment.workdir: /proc/self/fd/8`, a descriptor that runc leaked (CVE-2024-21626)", stops: "working directories of the system are refused",
			test: refusedWorkdirs("/proc/self/fd/8", "/proc/self/fd/7/../../..", "/proc/1/root", "/sys/fs/cgroup", "/dev/shm", "/.ci", "/.ci/x", "/a/../proc", "/"),
		},
		{
			name: "image-workdir", what: "an image whose `WORKDIR` is `/proc/self/fd/8`", stops: "containers begin in `/`; the working directory is PID 1's to make",
			test: inImage(nil, []string{"WORKDIR /proc/self/fd/8"}),
		},
		{
			name: "image-entrypoint", what: "an image whose `ENTRYPOINT` and `CMD` would be PID 1", stops: "the entry point is always ours",
			test: inImage(nil, []string{`ENTRYPOINT ["/bin/sh","-c","touch /stolen; sleep 100"]`, `CMD ["evil"]`}),
		},
		{
			name: "image-healthcheck", what: "an image whose `HEALTHCHECK` runs beside the script", stops: "health checks of a job's image are switched off",
			test: func(t *testing.T, w *world) {
				image := w.makeImage(t, nil, []string{"HEALTHCHECK --interval=1s CMD touch /stolen"})
				run := w.play(t, spec{"script": prelude + "sleep 3\n" + here, "environment": spec{"image": image}})
				held(t, run.console)
			},
		},
		{
			name: "image-volumes", what: "an image that declares `VOLUME`s over our folder, `/proc` and `/etc`", stops: "our mounts win; what is left is empty and the run's own",
			test: func(t *testing.T, w *world) {
				image := w.makeImage(t, nil, []string{"VOLUME /.ci", "VOLUME /data"})
				run := w.play(t, spec{"script": prelude + here + "\nrefuse touch /.ci/x", "environment": spec{"image": image}})
				held(t, run.console)
				require.Contains(t, run.console, "/.ci/ci-agent init")
			},
		},
		{
			name: "image-toolbox", what: "an image with a program of its own at `/.ci/ci-agent`", stops: "the toolbox's volume is mounted over it",
			test: inImage(map[string]string{".ci/ci-agent": "#!/bin/sh\ntouch /stolen\n"}, nil),
		},
		{
			name: "image-toolbox-link", what: "an image in which `/.ci` is a link to `/bin`", stops: "links are resolved inside the image, and the volume is mounted at their end",
			test: func(t *testing.T, w *world) {
				image := w.makeImage(t, map[string]string{".ci": "-> /opt/../../../../tmp/evil"}, nil)
				run := w.play(t, spec{"script": prelude + here, "environment": spec{"image": image}})
				if run.Outcome == "succeeded" {
					held(t, run.console)
					return
				}
				require.Equal(t, "error", run.Outcome)
			},
		},
		{
			name: "image-workdir-link", what: "an image in which the working directory is a link to the toolbox, so that a checkout would be PID 1", stops: "PID 1 has to greet its agent; what it says is believed of its own run only",
			test: linkedWorkdir,
		},
		{
			name: "image-passwd", what: "an image whose accounts have numbers beyond all measure, such as 4294967296 for an innocent name", stops: "numbers are parsed within their range; the run ends as an error",
			test: func(t *testing.T, w *world) {
				image := w.makeImage(t, map[string]string{"etc/passwd": "dev:x:4294967296:4294967296::/:/bin/sh\nneg:x:-1:-1::/:/bin/sh\n"}, nil)
				for _, user := range []string{"dev", "neg", "4294967295", "0:4294967296"} {
					run := w.play(t, spec{"script": "echo BREACH; id", "environment": spec{"image": image, "user": user}})
					require.NotContains(t, run.console, "BREACH")
					require.Equal(t, "error", run.Outcome, user)
				}
			},
		},
		{
			name: "setuid", what: "a program of root's with the setuid bit, started by a job's user", stops: "`no-new-privileges`",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{
					"script":      prelude + `if [ "$(/opt/id -u)" = 1234 ]; then echo "held: still 1234"; else echo BREACH; fi` + "\nrefuse touch /bin/x\nrefuse chown 0 /tmp\nrefuse chroot /tmp\n",
					"environment": spec{"image": w.image, "user": "dev"},
				})
				held(t, run.console)
			},
		},
	}
}

// inImage plays a job in an image that has something in it.
func inImage(files map[string]string, changes []string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		run := w.play(t, spec{"script": prelude + here, "environment": spec{"image": w.makeImage(t, files, changes)}})
		held(t, run.console)
		require.Contains(t, run.console, "in /workspace as 0\n/.ci/ci-agent init")
		require.Equal(t, "succeeded", run.Outcome)
	}
}

// refusedWorkdirs end before a container is made, if the API lets them in at all.
func refusedWorkdirs(dirs ...string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		for _, dir := range dirs {
			document := spec{"freestyle": spec{"script": "echo BREACH", "environment": spec{"image": w.image, "workdir": dir}}}
			a, err := w.client.Do(t.Context(), http.MethodPut, "/jobs/workdir", []byte(text(t, document)))
			require.NoError(t, err)
			if a.Status == http.StatusBadRequest {
				continue
			}
			require.Contains(t, []int{200, 201}, a.Status, "%s", a.Body)
			run, err := w.client.Trigger(t.Context(), "workdir")
			require.NoError(t, err)
			done := w.await(t, run)
			if dir != "/" { // a freestyle run may work there
				require.Equal(t, "error", done.Outcome, dir)
				require.NotContains(t, done.console, "BREACH")
			}
		}
	}
}

// linkedWorkdir mounts a repository where the toolbox belongs.
func linkedWorkdir(t *testing.T, w *world) {
	image := w.makeImage(t, map[string]string{"workspace": "-> /.ci"}, nil)
	files := tree(t, map[string]string{
		"job.yaml": file(t, spec{"script": prelude + here, "environment": spec{"image": image}, "results": spec{"out": "x"}}),
		"ci-agent": "#!/bin/sh\nprintf '\\000\\000\\000\\001\\000\\000\\000\\001\\377\\377\\377\\377 BREACH'; sleep 1\n",
	})
	run := w.repository(t, files, nil, nil)
	if run.Outcome != "error" {
		held(t, run.console)
	}
	require.NotContains(t, run.console, "BREACH")
	require.Empty(t, w.results(t, run.Run))
}
