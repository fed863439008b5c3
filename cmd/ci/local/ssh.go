//go:build linux

package local

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// agentSocket is where a script finds an SSH agent, as on an agent machine.
const agentSocket = "/run/ci/ssh-agent"

// forward lets the script reach the developer's own SSH agent. It is handed on
// as it is: the script may use every key in it, as may every program that the developer starts.
func (d *withTree) forward(o *runner.Order, console io.Writer) {
	socket := d.order.AgentSocket
	if socket == "" {
		fmt.Fprintln(console, "The job file says ssh: true, and SSH_AUTH_SOCK is not set here: no agent is there. Start one with ssh-agent and give it a key with ssh-add.")
		return
	}
	o.Spec.SSH = true
	o.SSH = &ci.SSHAccess{Hosts: d.order.KnownHosts}
	o.Env = append(o.Env, "SSH_AUTH_SOCK="+agentSocket)
	o.Relays = append(o.Relays, runner.Relay{Network: "unix", Address: agentSocket, Serve: func(ctx context.Context, conn net.Conn) {
		if err := join(ctx, conn, socket); err != nil {
			fmt.Fprintf(os.Stderr, "ci: the SSH agent at %s: %v\n", socket, err)
		}
	}})
}

// join carries one connection to a socket of this machine, until either side ends it.
func join(ctx context.Context, conn net.Conn, socket string) error {
	there, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	end := sync.OnceFunc(func() { _, _ = there.Close(), conn.Close() })
	defer context.AfterFunc(ctx, end)()
	var back sync.WaitGroup
	back.Go(func() {
		defer end()
		_, _ = io.Copy(conn, there)
	})
	_, _ = io.Copy(there, conn) // how it ends is the business of the two sides
	end()
	back.Wait()
	return nil
}
