package docker

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// A run that is root can write the files that the engine shares with the next
// run on the same network; the next must not see it.
func TestNetworkFilesAreRestored(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	run := func(script string, change ...func(*runner.Order)) (string, string) {
		console := &output{}
		b := prepare(t, d, order(script, append(change, inImage(busyBase))...), console)
		_, err := b.Run(t.Context(), func() {}, console)
		require.NoError(t, err)
		network := b.sandbox.name
		require.NoError(t, b.Remove(t.Context()))
		return console.String(), network
	}
	const show = "for f in hosts resolv.conf hostname; do cat /etc/$f; stat -c '%a %u %g %s' /etc/$f; done"
	before, first := run(show)
	require.Contains(t, before, "127.0.0.11")
	_, second := run("for f in hosts resolv.conf hostname; do echo '6.6.6.6 github.com' >> /etc/$f; chmod 666 /etc/$f; done; chown 1234:1234 /etc/hosts 2>/dev/null || true")
	require.Equal(t, first, second, "the test wants the same network")
	after, third := run(show)
	require.Equal(t, first, third, "the test wants the same network")
	require.Equal(t, before, after)

	// Neither can a run that is not root change them.
	denied, _ := run("for f in hosts resolv.conf hostname; do (echo x > /etc/$f) 2>/dev/null || echo denied; done", asUser("dev"))
	require.Equal(t, "denied\ndenied\ndenied\n", denied)
}

func TestRunsNeverShareANetworkAtOnce(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	var mu sync.Mutex
	used := map[*sandbox]bool{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			b, err := d.Prepare(t.Context(), order("sleep 0.1", inImage(busyBase)), &output{})
			if !check(t, err) {
				return
			}
			sb := b.(*box).sandbox
			mu.Lock()
			if used[sb] {
				t.Errorf("%s has two runs", sb.name)
			}
			used[sb] = true
			mu.Unlock()
			_, err = b.Run(t.Context(), func() {}, &output{})
			check(t, err)
			mu.Lock()
			delete(used, sb)
			mu.Unlock()
			check(t, b.Remove(t.Context()))
		})
	}
	all.Wait()
}

func check(t *testing.T, err error) bool {
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

func TestADeadSandboxIsReplaced(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	s, err := d.ready()
	require.NoError(t, err)
	sb, err := s.pool.acquire(t.Context())
	require.NoError(t, err)
	s.pool.release(sb)
	require.NoError(t, engine.ContainerRemove(t.Context(), sb.name, container.RemoveOptions{Force: true}))
	console := &output{}
	b := prepare(t, d, order("echo fine"), console)
	_, err = b.Run(t.Context(), func() {}, console)
	require.NoError(t, err)
	require.Equal(t, "fine\n", console.String())
}

func TestNeighboursDoNotReachEachOther(t *testing.T) {
	t.Parallel()
	console := &output{}
	server := prepare(t, common, order("hostname -i; nc -l -p 8080 -e echo reached & nc -l -p 8081; sleep 100", inImage(busyBase)), console)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = server.Run(context.Background(), func() {}, console)
	}()
	defer func() { _ = server.Signal(runner.Kill); <-ended }()
	eventually(t, func() bool { return strings.Contains(console.String(), "\n") }, "the server's address")
	address := strings.Fields(console.String())[0]
	_, output, _ := play(t, order("nc -w 2 "+address+" 8080 </dev/null && echo reached || echo blocked; ping -c 1 -W 1 "+address+" >/dev/null 2>&1 && echo reached || echo blocked", inImage(busyBase)))
	require.Contains(t, output, "blocked\nblocked\n", address)
}

func TestOpenSweepsWhatAnEarlierLifeLeft(t *testing.T) {
	t.Parallel()
	other := newDriver(t)
	bystander := prepare(t, other, order("sleep 60", inImage(busyBase)), &output{})

	dead, err := New(config("test-killed"))
	require.NoError(t, err)
	require.NoError(t, dead.Open(t.Context()))
	r := newRepository(t)
	got, err := dead.Prepare(t.Context(), order("sleep 1000", from(r.url, r.shas[0], 1)), &output{})
	require.NoError(t, err)
	b := got.(*box)
	running := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = b.Run(context.Background(), func() { close(running) }, &output{})
	}()
	<-running
	require.GreaterOrEqual(t, len(objects(t, dead)), 5)

	// The process is gone: all its connections break, and nobody removes anything.
	b.conn.Close()
	<-ended
	eventually(t, func() bool {
		c, err := engine.ContainerInspect(t.Context(), b.container)
		return err == nil && !c.State.Running
	}, "the container ends with its agent")

	next, err := New(config("test-killed"))
	require.NoError(t, err)
	require.NoError(t, next.Open(t.Context()))
	left := objects(t, next)
	require.Len(t, left, 3, "a volume, a network and a sandbox of its own: %v", left)
	for _, o := range left {
		require.True(t, next.names.has(o.name), o.name)
	}
	require.NoError(t, next.Open(t.Context()), "not safe to repeat")
	require.NoError(t, next.Close(t.Context()))
	requireNothing(t, next)

	c, err := engine.ContainerInspect(t.Context(), bystander.container)
	require.NoError(t, err)
	require.True(t, c.State.Running, "the other agent's run was swept away")
}

func TestSweep(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	keep := prepare(t, d, order("echo kept", inImage(busyBase)), &output{})
	gone := prepare(t, d, order("sleep 1000", inImage(busyBase)), &output{})
	left, err := d.Sweep(t.Context(), []int64{keep.order.Run})
	require.NoError(t, err)
	require.Zero(t, left)
	console := &output{}
	_, err = keep.Run(t.Context(), func() {}, console)
	require.NoError(t, err)
	require.Equal(t, "kept\n", console.String())
	_, err = gone.Run(t.Context(), func() {}, &output{})
	require.ErrorContains(t, err, "the container was removed by somebody else")
}

func TestOpenIsSafeWhileRunsGoOn(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	b := prepare(t, d, order("echo fine", inImage(busyBase)), &output{})
	require.NoError(t, d.Open(t.Context()))
	console := &output{}
	_, err := b.Run(t.Context(), func() {}, console)
	require.NoError(t, err)
	require.Equal(t, "fine\n", console.String())
}

func TestDockerIsAway(t *testing.T) {
	t.Parallel()
	c := config("test-away")
	c.Host = "unix:///nonexistent/docker.sock"
	d, err := New(c)
	require.NoError(t, err)
	err = d.Ready(t.Context())
	require.ErrorContains(t, err, "Docker does not answer at unix:///nonexistent/docker.sock")
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	require.Error(t, d.Open(t.Context()))
	_, err = d.Prepare(t.Context(), order(""), &output{})
	require.Error(t, err)
	require.NoError(t, d.Close(t.Context()))
}

func TestAContainerThatDiesMidRun(t *testing.T) {
	t.Parallel()
	b := prepare(t, common, order("sleep 1000", inImage(busyBase)), &output{})
	began := time.Now()
	_, err := b.Run(t.Context(), func() {
		go func() { check(t, engine.ContainerKill(context.Background(), b.container, "KILL")) }()
	}, &output{})
	require.ErrorContains(t, err, "the container was lost while the script ran: the container has ended with status 137")
	require.Less(t, time.Since(began), 2*time.Minute)
}

func TestNewChecksItsConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{}, {Agent: "a"}, func() Config { c := config("a"); c.Subnet = "10.0.0.0/25"; return c }(), func() Config { c := config("a"); c.Subnet = "x"; return c }()} {
		_, err := New(c)
		require.Error(t, err)
	}
}
