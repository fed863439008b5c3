package rabbitserver

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/porttest"
)

// Cluster is several servers on loopback that keep everything together.
type Cluster struct {
	// Nodes are the servers. Whichever is Down, the others go on as long as they
	// are a majority.
	Nodes []*Server
}

// StartCluster starts n servers that end with the test. The first one begins;
// the others join it.
func StartCluster(t testing.TB, n int) *Cluster {
	t.Helper()
	home := folder(t)
	port := startNames(t, home)
	c := &Cluster{}
	for range n {
		s := &Server{dir: folder(t), home: home, shared: true}
		s.ports[2] = port
		c.Nodes = append(c.Nodes, s)
	}
	first := c.Nodes[0]
	first.startOften(t)
	var joining sync.WaitGroup
	for _, s := range c.Nodes[1:] {
		s.more = []string{"cluster_formation.peer_discovery_backend = classic_config", "cluster_formation.classic_config.nodes.1 = " + first.node()}
		joining.Go(func() { s.startOften(t) })
	}
	joining.Wait()
	const together = `length(rabbit_nodes:all_running())`
	for _, s := range c.Nodes {
		require.Eventually(t, func() bool { return s.Eval(t, together) == fmt.Sprint(n) }, slow, 100*time.Millisecond, "the nodes don't come together")
	}
	return c
}

// startNames starts the daemon by which nodes find each other, and returns its
// port. It is not a node's, so that it outlives all of them.
func startNames(t testing.TB, home string) int {
	t.Helper()
	port := porttest.Free(t, "127.0.0.1", 1)[0]
	cmd := exec.Command("epmd", "-address", "127.0.0.1", "-port", fmt.Sprint(port))
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, slow, 10*time.Millisecond, "epmd does not listen")
	return port
}

// URL is the addresses of all servers, with a vhost of its own for each call.
func (c *Cluster) URL(t testing.TB) string {
	t.Helper()
	first := c.Nodes[0].URL(t)
	vhost := first[strings.LastIndex(first, "/")+1:]
	all := []string{first}
	for _, s := range c.Nodes[1:] {
		all = append(all, s.address(vhost))
	}
	return strings.Join(all, ",")
}

// Leader is the node that answers for a quorum queue of a vhost, as seen by the
// node asked, and how many nodes keep it.
func (c *Cluster) Leader(t testing.TB, asked *Server, vhost, queue string) (leader *Server, members int) {
	t.Helper()
	answer := asked.Eval(t, fmt.Sprintf(`{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"%s">>, queue, <<"%s">>)), `+
		`{_, N} = amqqueue:get_pid(Q), {N, length(maps:get(nodes, amqqueue:get_type_state(Q)))}`, vhost, queue))
	name, count, _ := strings.Cut(strings.Trim(answer, "{}"), ",")
	for _, s := range c.Nodes {
		if s.node() == strings.Trim(name, "'") {
			_, err := fmt.Sscan(count, &members)
			require.NoError(t, err, answer)
			return s, members
		}
	}
	require.Fail(t, "no node leads the queue", answer)
	return nil, 0
}
