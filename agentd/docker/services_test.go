package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// A script reaches its services by their names and aliases, they reach each
// other, and what they print is kept.
func TestServicesAreReached(t *testing.T) {
	t.Parallel()
	l := &listener{}
	exit, output, _ := play(t, order("wget -q -O- http://web:8080/seed/motd; wget -q -O- http://other:8080/seed/motd; wget -q -O- http://through:8080/out",
		with(
			web("web", func(s *ci.Service) { s.Aliases = []string{"other"} }),
			shell("through", "wget -q -O /out http://other:8080/seed/motd; exec httpd -f -p 8080 -h /", port("8080"), dependsOn("web", ci.ServiceHealthy)),
		), toldTo(l)))
	require.Zero(t, exit.Code, output)
	require.Equal(t, strings.Repeat("from the image\n", 3), output[strings.Index(output, "from"):])
	require.Contains(t, output, "service web is up after ")
	require.Equal(t, "takes connections", l.step("service web"))
	require.Equal(t, "2 up", l.step("services"))
	require.Contains(t, l.log("web"), "url:/seed/motd")
	require.ElementsMatch(t, []string{"environment", "web", "through"}, []string{l.images[0].For, l.images[1].For, l.images[2].For})
}

// A file may name ports that nobody serves; the run waits for them a moment only, and says so.
func TestServiceThatServesOnePortOfTwo(t *testing.T) {
	t.Parallel()
	l := &listener{}
	exit, output, _ := play(t, order("wget -q -O- http://web:8080/seed/motd", with(web("web", port("8080", "5005"))), toldTo(l)))
	require.Zero(t, exit.Code, output)
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Equal(t, []string{"service web does not take connections on all of its ports (8080, 5005); the run goes on with those that do"}, l.said)
}

// What a service is made of: its own words where the file has some, the image's else.
func TestServiceIsMadeAsTheFileSays(t *testing.T) {
	t.Parallel()
	l := &listener{}
	d := newDriver(t)
	show := "exec 2>&1; id -u; hostname; pwd; echo $FROM_IMAGE $OWN; ulimit -n; df -k /dev/shm /scratch | awk 'NR>1 {print $2}'; touch /denied 2>&1; cat /data/motd; echo x > /data/x; echo end; sleep 1000"
	svc := shell("odd", show, still, func(s *ci.Service) {
		s.User, s.Hostname, s.Workdir, s.Init, s.ReadOnly = "1234:1235", "odd-host", "/seed", true, true
		s.Env = map[string]string{"OWN": "a=b c"}
		s.Ulimits = []ci.Ulimit{{Name: "nofile", Soft: 123, Hard: 456}}
		s.ShmSize = 1 << 20
		s.Tmpfs = []ci.Tmpfs{{Target: "/scratch", Size: 2 << 20}}
		s.Mounts = []ci.Mount{{Volume: "data", Target: "/data"}, {Target: "/own"}, {Volume: "data", Target: "/ro", ReadOnly: true}}
		s.CapDrop = []string{"CAP_CHOWN", "kill"}
		s.Resources = ci.Resources{CPUs: 0.5, Memory: 64 << 20, Pids: 32}
	})
	b := prepare(t, d, order("true", with(svc), toldTo(l)), &output{})
	eventually(t, func() bool { return strings.Contains(l.log("odd"), "end\n") }, "what it prints")
	require.Equal(t, "1234\nodd-host\n/seed\nyes a=b c\n123\n1024\n2048\ntouch: /denied: Read-only file system\ncat: can't open '/data/motd': No such file or directory\nsh: can't create /data/x: Permission denied\nend\n", l.log("odd"))

	got, err := engine.ContainerInspect(t.Context(), b.sidecars.list[0].container)
	require.NoError(t, err)
	h := got.HostConfig
	require.Equal(t, []string{"ALL"}, []string(h.CapDrop))
	require.Equal(t, []string{"CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"}, []string(h.CapAdd))
	require.Equal(t, []string{"no-new-privileges"}, h.SecurityOpt)
	require.False(t, h.Privileged || h.PublishAllPorts)
	require.Empty(t, h.PortBindings)
	require.EqualValues(t, 64<<20, h.Memory)
	require.EqualValues(t, 64<<20, h.MemorySwap)
	require.EqualValues(t, 5e8, h.NanoCPUs)
	require.EqualValues(t, 32, *h.PidsLimit)
	require.Equal(t, "none", h.LogConfig.Type)
	require.Equal(t, "odd", got.Config.Labels[labelService])
}

// A new volume holds what the image has at its place, is shared by name and
// goes with the run.
func TestServicesShareVolumes(t *testing.T) {
	t.Parallel()
	volume := func(target string) func(*ci.Service) {
		return func(s *ci.Service) { s.Mounts = []ci.Mount{{Volume: "data", Target: target}} }
	}
	l := &listener{}
	exit, output, _ := play(t, order("wget -q -O- http://web:8080/here/motd http://web:8080/here/made",
		with(
			shell("maker", "echo made > /seed/made", volume("/seed")),
			web("web", volume("/here"), dependsOn("maker", ci.ServiceCompleted)),
		), toldTo(l)))
	require.Zero(t, exit.Code, output)
	require.Contains(t, output, "from the image\nmade\n")
	require.Equal(t, "completed", l.step("service maker"))
}

func TestServiceHealth(t *testing.T) {
	t.Parallel()
	t.Run("of the file", func(t *testing.T) {
		t.Parallel()
		l := &listener{}
		began := time.Now()
		exit, output, _ := play(t, order("wget -q -O- http://web:8080/up", with(
			shell("web", "(sleep 0.5; echo yes > /up) & exec httpd -f -p 8080 -h /", health(ci.Healthcheck{Test: []string{"CMD-SHELL", "test -f /up"}, Interval: ci.Duration(time.Hour)})),
		), toldTo(l)))
		require.Zero(t, exit.Code, output)
		require.Equal(t, "healthy", l.step("service web"))
		require.Less(t, time.Since(began), time.Hour, "the first check does not wait for the interval")
	})
	t.Run("of the image", func(t *testing.T) {
		t.Parallel()
		l := &listener{}
		_, err := common.Prepare(t.Context(), order("true", with(ci.Service{Name: "sick", Image: busyBase, Entrypoint: []string{"sleep", "1000"}, Healthcheck: &ci.Healthcheck{Retries: 2}}), toldTo(l)), &output{})
		require.ErrorContains(t, err, "service sick is not healthy after ")
		require.ErrorContains(t, err, "checks: the last one ended with status 1")
	})
	t.Run("of the image, switched off", func(t *testing.T) {
		t.Parallel()
		l := &listener{}
		play(t, order("true", with(ci.Service{Name: "sick", Image: busyBase, Entrypoint: []string{"sleep", "1000"}, Healthcheck: &ci.Healthcheck{Disable: true}}), toldTo(l)))
		require.Equal(t, "started", l.step("service sick"))
	})
	t.Run("that hangs", func(t *testing.T) {
		t.Parallel()
		_, err := common.Prepare(t.Context(), order("true", with(
			shell("slow", "sleep 1000", health(ci.Healthcheck{Test: []string{"CMD", "sleep", "1000"}, Timeout: ci.Duration(300 * time.Millisecond), Interval: ci.Duration(10 * time.Millisecond), Retries: 2})),
		)), &output{})
		require.ErrorContains(t, err, "the last one took longer than 300ms")
	})
	t.Run("that can't run", func(t *testing.T) {
		t.Parallel()
		_, err := common.Prepare(t.Context(), order("true", with(
			shell("db", "echo starting; sleep 1000", health(ci.Healthcheck{Test: []string{"CMD", "pg_isready"}, Interval: ci.Duration(10 * time.Millisecond), Retries: 2})),
		)), &output{})
		require.ErrorContains(t, err, "service db is not healthy")
		require.ErrorContains(t, err, "pg_isready")
	})
}

// A service that ends before it is up ends the run, with its last lines.
func TestServiceFails(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		services []ci.Service
		reason   string
		console  string
	}{
		"before its port is open": {
			services: []ci.Service{shell("db", "exec 2>&1; for i in $(seq 100); do echo line $i; done; echo no space left >&2; exit 3", port("5432"))},
			reason:   "service db ended with status 3 before it was up, so the script was not started; its last lines are in the console, and all of them in the result services",
			console:  "db | line 100\ndb | no space left\n",
		},
		"without a word": {
			services: []ci.Service{shell("db", "exit 0", port("5432"))},
			reason:   "service db ended with status 0 before it was up, so the script was not started; it printed nothing",
		},
		"one that another waits for": {
			services: []ci.Service{shell("migrate", "echo no database; exit 4"), web("web", dependsOn("migrate", ci.ServiceCompleted))},
			reason:   "service migrate ended with status 4, so the script was not started",
			console:  "migrate | no database\n",
		},
		"out of memory": {
			services: []ci.Service{shell("big", "exec dd if=/dev/zero of=/dev/null bs=300M count=1", port("5432"), func(s *ci.Service) { s.Resources.Memory = 32 << 20 })},
			reason:   "used more than its memory limit; give it more in deploy.resources.limits.memory",
		},
		"no such command": {
			services: []ci.Service{{Name: "db", Command: []string{"postgres"}}},
			reason:   `service db: the container can't be started: `,
		},
		"no command at all": {
			services: []ci.Service{{Name: "db"}},
			reason:   `service db: the container can't be made: `,
		},
		"a working directory of the kernel's": {
			services: []ci.Service{web("web", func(s *ci.Service) { s.Workdir = "/proc/self/fd/8" })},
			reason:   `service web has the working directory "/proc/self/fd/8"; /proc belongs to the system, so name another folder`,
		},
		"no such image": {
			services: []ci.Service{{Name: "db", Image: "ci-test.invalid/nothing:1"}},
			reason:   "image ci-test.invalid/nothing:1",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			console := &output{}
			o := order("echo never", with(c.services...))
			_, err := common.Prepare(t.Context(), o, console)
			require.ErrorContains(t, err, c.reason)
			require.Contains(t, console.String(), c.console)
			requireNothingOf(t, common, o.Run)
		})
	}
}

func requireNothingOf(t *testing.T, d *Driver, run int64) {
	t.Helper()
	for _, left := range objects(t, d) {
		if r, ok := left.run(); ok && r == run {
			t.Errorf("left behind: %s", left.name)
		}
	}
}

// A service that ends while the script runs is told of, and the script goes on.
func TestServiceEndsUnderTheScript(t *testing.T) {
	t.Parallel()
	l := &listener{}
	console := &output{}
	b := prepare(t, common, order("wget -q -O- http://web:8080/seed/motd; wget -q -O- http://web:8080/cgi-bin/x; cat; echo on", with(web("web")), toldTo(l)), console)
	require.NoError(t, engine.ContainerKill(t.Context(), b.sidecars.list[0].container, "KILL"))
	eventually(t, func() bool { return l.heard("service web ended with status 137") }, "the line")
	exit, err := b.Run(t.Context(), func() {}, console)
	require.NoError(t, err)
	require.NotZero(t, exit.Code)
}

// Nobody of another run reaches a service: not by name, not by address, and a
// service does not reach a job, nor the machine that all run on.
func TestServicesAreWalledIn(t *testing.T) {
	t.Parallel()
	secret := listen(t)
	cfg := config("services-wall")
	d := opened(t, cfg)
	serving := prepare(t, d, order("sleep 1000", with(web("web"))), &output{})
	address, err := serving.sidecars.list[0].address(t.Context())
	require.NoError(t, err)
	target := address + ":8080"

	probe := knock(append([]string{target, "web:8080", "169.254.169.254:80"}, hostTargets(t, secret)...)...)
	n := strings.Count(probe, "nc ")
	l := &listener{}
	_, output, _ := playOn(t, d, order(probe, with(shell("spy", probe), shell("waits", "true", dependsOn("spy", ci.ServiceCompleted), still)), toldTo(l)))
	require.Equal(t, strings.Repeat("closed\n", n), output[strings.Index(output, "closed"):], "a job with services")
	require.Equal(t, strings.Repeat("closed\n", n), l.log("spy"), "a service")
	_, output, _ = playOn(t, d, order(knock(target), inImage(busyBase)))
	require.Equal(t, "closed\n", output, "a job without services")
	// The service is there all the while.
	require.Contains(t, knocked(t, serving, target), "open")
}

// knocked is what a job says that was prepared with another script.
func knocked(t *testing.T, b *box, target string) string {
	t.Helper()
	console := &output{}
	b.order.Spec.Script = knockFor(20, target)
	_, err := b.Run(t.Context(), func() {}, console)
	require.NoError(t, err)
	return console.String()
}

func hostTargets(t *testing.T, port int) []string {
	var all []string
	for _, ip := range append(addresses(t), "$(ip route | awk '/^default/ {print $3}')") {
		all = append(all, fmt.Sprintf("%s:%d", ip, port))
	}
	return all
}

// A preparation may be given up at any moment: nothing stays, and no subnet is lost.
func TestServicesMayBeGivenUp(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	for i := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Millisecond)
		o := order("true", with(web("web", func(s *ci.Service) { s.Mounts = []ci.Mount{{Volume: "v", Target: "/v"}} }), shell("two", "sleep 1000", dependsOn("web", ci.ServiceHealthy))))
		b, err := d.Prepare(ctx, o, &output{})
		if err == nil {
			require.NoError(t, b.Remove(ctx))
		}
		cancel()
		requireNothingOf(t, d, o.Run)
		require.Empty(t, d.subnets.taken)
	}
}

// Whatever call to the engine fails, nothing of a run with services stays that
// the next sweep does not take, no subnet is lost, and the next run works.
func TestEveryCallMayFailWithServices(t *testing.T) {
	t.Parallel()
	f, host := newFlaky(t)
	cfg := config("test-flaky-services")
	cfg.Host = host
	d, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, d.Open(t.Context()))
	live := func() error {
		b, err := d.Prepare(t.Context(), order("wget -q -O- http://web:8080/seed/motd", with(
			web("web", health(ci.Healthcheck{Test: []string{"CMD", "true"}}), func(s *ci.Service) { s.Mounts = []ci.Mount{{Volume: "v", Target: "/v"}} }),
		)), &output{})
		if err != nil {
			return err
		}
		_, err = b.Run(t.Context(), func() {}, &output{})
		return errors.Join(err, b.Remove(t.Context()))
	}
	f.count.Store(0)
	require.NoError(t, live())
	calls := f.count.Load()
	t.Logf("a run takes %d calls", calls)
	failed := 0
	for n := int64(1); n <= calls; n++ {
		f.after.Store(n%2 == 0)
		f.count.Store(0)
		f.fail.Store(n)
		if err := live(); err != nil {
			failed++
		}
		f.fail.Store(0)
		left, err := d.Sweep(t.Context(), nil)
		require.NoError(t, err)
		require.Zero(t, left)
		for _, o := range objects(t, d) {
			_, ok := o.run()
			require.False(t, ok, "call %d: left behind: %s", n, o.name)
		}
		require.Empty(t, d.subnets.taken, "call %d", n)
	}
	require.NotZero(t, failed, "no failure had any consequence")
	require.NoError(t, live())
	require.NoError(t, d.Close(t.Context()))
	requireNothing(t, d)
}

// What a killed agent leaves of a run with services is swept, also while
// somebody else is in its network.
func TestSweepTakesServices(t *testing.T) {
	t.Parallel()
	cfg := config("services-killed")
	dead, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, dead.Open(t.Context()))
	got, err := dead.Prepare(t.Context(), order("sleep 1000", with(web("web", func(s *ci.Service) { s.Mounts = []ci.Mount{{Volume: "v", Target: "/v"}} }))), &output{})
	require.NoError(t, err)
	b := got.(*box)
	stranger := dead.name("stranger")
	_, err = engine.ContainerCreate(t.Context(), &container.Config{Image: sidecarBase, Cmd: []string{"sleep", "1000"}}, &container.HostConfig{NetworkMode: container.NetworkMode(b.network)}, nil, nil, stranger)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = engine.ContainerRemove(context.Background(), stranger, container.RemoveOptions{Force: true})
	})
	require.NoError(t, engine.ContainerStart(t.Context(), stranger, container.StartOptions{}))
	b.conn.Close() // as the death of the process does

	next, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, next.Open(t.Context()))
	for _, left := range objects(t, next) {
		_, ok := left.run()
		require.False(t, ok, "left behind: %s", left.name)
	}
	b.sidecars.end()
	b.sidecars.beside.Wait()
	require.NoError(t, next.Close(t.Context()))
	require.Empty(t, objects(t, next))
}

// A service is stopped as its file says, and killed when it says nothing.
func TestServicesAreStopped(t *testing.T) {
	t.Parallel()
	l := &listener{}
	script := "trap 'echo quitting; exit 0' QUIT; echo ready; while :; do sleep 0.05; done"
	console := &output{}
	got, err := common.Prepare(t.Context(), order("true", with(
		shell("polite", script, still, func(s *ci.Service) { s.StopSignal = "SIGQUIT" }),
		shell("rude", script, still),
	), toldTo(l)), console)
	require.NoError(t, err, console.String())
	eventually(t, func() bool { return l.log("polite") == "ready\n" && l.log("rude") == "ready\n" }, "both are ready")
	require.NoError(t, got.Remove(t.Context()))
	require.Equal(t, "ready\nquitting\n", l.log("polite"))
	require.Equal(t, "ready\n", l.log("rude"))
}
