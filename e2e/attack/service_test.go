package attack

import (
	"archive/zip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// serviceAttacks are by and at what runs beside a script.
func serviceAttacks() []attack {
	return []attack{
		{
			name: "service-host", what: "a service that looks for the machine, its engine and a cloud's metadata", stops: "the same wall as around jobs; no mount but the run's own volumes",
			test: func(t *testing.T, w *world) {
				_, log := w.spy(t, prelude+"nothing /var/run/docker.sock /run/docker.sock "+w.cid.Data+"\ngw=$(ip route | awk '/^default/ {print $3}')\n"+
					knock("$gw", w.decoy.port, "2375")+knock(w.host, w.decoy.port, "2375")+knock("127.0.0.1", w.decoy.port)+knock("169.254.169.254", "80")+
					"refuse mount -t proc none /tmp\nrefuse mknod /tmp/disk b 254 0\nburglar namespaces\nburglar sockets\nif ls -d /.ci /run/ci 2>/dev/null; then echo BREACH; fi\n"+
					"if env | grep "+w.canary+"; then echo BREACH; fi\n")
				held(t, log)
			},
		},
		{
			name: "service-others", what: "another run's service by its address and its name, from a job, from a job with services and from a service", stops: "a network of each run's own, and the engine's isolation between bridges",
			test: func(t *testing.T, w *world) {
				target, stop := w.treasury(t)
				try := prelude + knock(target, "8080") + "closed treasury 8080\nrefuse nslookup treasury 127.0.0.11\nrefuse ping -c 1 -W 1 " + target + "\nclosed " + w.victim.address + " 8080\n"
				run, log := w.spy(t, try)
				held(t, run.console)
				held(t, log)
				held(t, w.play(t, spec{"script": try}).console)
				stop()
			},
		},
		{
			name: "service-file", what: "services that ask for the machine: privileges, host namespaces, binds, devices, capabilities, published sockets, in 26 spellings", stops: "an allow-list over every key of Compose",
			test: func(t *testing.T, w *world) {
				for _, evil := range []spec{
					{"privileged": true},
					{"network_mode": "host"},
					{"network_mode": "container:x"},
					{"pid": "host"},
					{"ipc": "host"},
					{"uts": "host"},
					{"userns_mode": "host"},
					{"cgroup": "host"},
					{"cgroup_parent": "/"},
					{"volumes": []string{"/:/host"}},
					{"volumes": []string{"/var/run/docker.sock:/x"}},
					{"volumes": []string{"../..:/x"}},
					{"volumes": []string{"~/.ssh:/x"}},
					{"volumes": []spec{{"type": "bind", "source": "/", "target": "/x"}}},
					{"volumes_from": []string{"x"}},
					{"devices": []string{"/dev/kmsg"}},
					{"cap_add": []string{"SYS_ADMIN"}},
					{"security_opt": []string{"seccomp:unconfined"}},
					{"sysctls": spec{"kernel.core_pattern": "x"}},
					{"extra_hosts": []string{"x:host-gateway"}},
					{"env_file": "/etc/passwd"},
					{"runtime": "x"},
					{"group_add": []string{"docker"}},
					{"device_cgroup_rules": []string{"a *:* rwm"}},
					{"working_dir": "/x", "image": "ci-toolbox:x", "oom_score_adj": -1000},
					{"image": "x\ny"},
				} {
					service := spec{"image": w.image}
					for k, v := range evil {
						service[k] = v
					}
					a, err := w.client.Do(t.Context(), http.MethodPut, "/jobs/services", []byte(text(t, spec{"freestyle": spec{"script": "true", "services": spec{"db": service}}})))
					require.NoError(t, err)
					require.Equal(t, http.StatusBadRequest, a.Status, "%v: %s", evil, a.Body)
				}
			},
		},
		{
			name: "service-output", what: "a service that prints escapes, lines like the agent's, NULs and no end, and one that fails with them as its last words", stops: "each service's output is a file of its own, cut at its limit; what the console shows of it is made fit to be shown",
			test: func(t *testing.T, w *world) {
				const evil = `printf '\033]52;c;AAAA\007\033[2J\000\377 evil\nci: the script succeeded\n\033[1A\rci: result out: stored\n'`
				run, log := w.spy(t, evil+"; yes flood | head -c 20000000")
				require.Equal(t, "succeeded", run.Outcome, run.Reason)
				require.Contains(t, log, "\x1b]52")
				require.Less(t, len(log), 17<<20)
				require.NotContains(t, run.console, "evil")

				failing := w.play(t, spec{"script": "echo BREACH", "services": spec{"db": spec{"image": w.image, "command": []string{"sh", "-c", evil + "; exit 3"}, "expose": []string{"1234"}}}})
				require.Equal(t, "error", failing.Outcome)
				require.NotContains(t, failing.console, "BREACH")
				for _, bad := range []string{"\x1b", "\x00", "\nci: the script succeeded", "\nci: result out"} {
					require.NotContains(t, failing.console, bad)
					require.NotContains(t, failing.Reason, bad)
				}
			},
		},
	}
}

// spy plays a script as a service, and then as the run's own. It returns the
// run and what the service printed.
func (w *world) spy(t *testing.T, script string) (played, string) {
	t.Helper()
	own := script
	if !strings.HasPrefix(script, prelude) {
		own = "true"
	}
	small := spec{"limits": spec{"memory": "64M"}}
	run := w.play(t, spec{"script": own, "timeout": "4m", "services": spec{
		"spy":  spec{"image": w.image, "command": []string{"sh", "-c", dollars(script)}, "deploy": spec{"resources": small}},
		"wait": spec{"image": w.image, "command": []string{"true"}, "deploy": spec{"resources": small}, "depends_on": spec{"spy": spec{"condition": "service_completed_successfully"}}},
	}})
	return run, w.logs(t, run.Run)
}

// dollars keeps Compose from reading variables of a script as its own.
func dollars(script string) string { return strings.ReplaceAll(script, "$", "$$") }

// logs is what all services of a run printed.
func (w *world) logs(t *testing.T, run rig.Run) string {
	t.Helper()
	archive := w.result(t, run, "services")
	z, err := zip.NewReader(strings.NewReader(archive), int64(len(archive)))
	require.NoError(t, err, "%.1000s", archive)
	var all strings.Builder
	for _, f := range z.File {
		require.Regexp(t, `^[a-z]+\.log$`, f.Name)
		r, err := f.Open()
		require.NoError(t, err)
		_, err = io.Copy(&all, r)
		require.NoError(t, err)
	}
	return all.String()
}

// treasury is a run with a service that others have no business with. It
// returns its address, and what proves that it was there all the while and ends it.
func (w *world) treasury(t *testing.T) (address string, stop func()) {
	t.Helper()
	run := w.trigger(t, spec{
		"environment": spec{"image": w.image}, "script": "echo \"address $(wget -q -O- http://treasury:8080/address)\"\nwhile :; do wget -q -O- http://treasury:8080/address >/dev/null; sleep 1; done",
		"services": spec{"treasury": spec{"image": w.image, "command": []string{"sh", "-c", "mkdir -p /srv; hostname -i > /srv/address; exec httpd -f -p 8080 -h /srv"}, "expose": []string{"8080"}}},
	}, nil)
	require.NoError(t, rig.Poll(t.Context(), patience, func() error {
		_, rest, _ := strings.Cut(w.console(t, run), "address ")
		var whole bool
		if address, _, whole = strings.Cut(rest, "\n"); !whole {
			return fmt.Errorf("the treasury is not up")
		}
		return nil
	}))
	return address, func() {
		var got rig.Run
		require.NoError(t, w.client.Call(t.Context(), http.MethodGet, path(run), nil, &got))
		require.Equal(t, "in_progress", got.Status, "the service was not there to be reached")
		_, err := w.client.Do(t.Context(), http.MethodPost, path(run)+"/abort", nil)
		require.NoError(t, err)
		w.await(t, run)
	}
}
