package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ci/pkg/porttest"
)

// NATSCluster is three nats-server processes that replicate each other, each
// with a store of its own. They may be killed, and their stores wiped.
type NATSCluster struct {
	URL   string // names all three
	Nodes [3]*Process

	bin, dir, host string
	clients        [3]string // ports
	routes         [3]string
}

// NewNATSCluster builds the server and starts three of them that listen at host.
func NewNATSCluster(ctx context.Context, dir, host string) (*NATSCluster, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	c := &NATSCluster{bin: filepath.Join(dir, "nats-server"), dir: dir, host: host}
	build := exec.CommandContext(ctx, "go", "build", "-o", c.bin, "github.com/nats-io/nats-server/v2")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the NATS server of the tests can't be built: %w\n%s", err, out)
	}
	if err := c.ports(); err != nil {
		return nil, err
	}
	for i := range c.Nodes {
		if err := c.Start(i); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// ports chooses a port for clients and one for the others, of each node: a node
// that is started again has them still.
func (c *NATSCluster) ports() error {
	var urls []string
	addresses, err := porttest.Addresses(c.host, len(c.clients)+len(c.routes))
	if err != nil {
		return err
	}
	for i, a := range addresses {
		_, port, _ := net.SplitHostPort(a)
		if i < len(c.clients) {
			c.clients[i] = port
		} else {
			c.routes[i-len(c.clients)] = port
		}
	}
	for _, port := range c.clients {
		urls = append(urls, "nats://"+net.JoinHostPort(c.host, port))
	}
	c.URL = strings.Join(urls, ",")
	return nil
}

// Addresses are where the nodes take clients, HOST:PORT.
func (c *NATSCluster) Addresses() (all []string) {
	for _, port := range c.clients {
		all = append(all, net.JoinHostPort(c.host, port))
	}
	return all
}

// Start starts a node that does not run, with whatever its store holds.
func (c *NATSCluster) Start(i int) error {
	var routes []string
	for _, port := range c.routes {
		routes = append(routes, fmt.Sprintf("%q", "nats://"+net.JoinHostPort(c.host, port)))
	}
	config := fmt.Sprintf(`server_name: n%d
listen: %q
jetstream { store_dir: %q, max_mem: 64M, max_file: 1G, sync_interval: always }
cluster { name: fleet, listen: %q, no_advertise: true, routes: [%s] }
`, i, net.JoinHostPort(c.host, c.clients[i]), c.store(i), net.JoinHostPort(c.host, c.routes[i]), strings.Join(routes, ", "))
	path := filepath.Join(c.dir, fmt.Sprintf("nats%d.conf", i))
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return err
	}
	p, err := Launch(filepath.Join(c.dir, fmt.Sprintf("nats%d.log", i)), c.bin, os.Environ(), "-c", path)
	c.Nodes[i] = p
	return err
}

// Wipe empties the store of a node that does not run.
func (c *NATSCluster) Wipe(i int) error { return os.RemoveAll(c.store(i)) }

func (c *NATSCluster) store(i int) string { return filepath.Join(c.dir, fmt.Sprintf("nats%d", i)) }

// Close ends all nodes.
func (c *NATSCluster) Close() error {
	var errs []error
	for _, p := range c.Nodes {
		if p != nil {
			errs = append(errs, p.Kill())
		}
	}
	return errors.Join(errs...)
}

// Ready waits until the cluster takes connections; whether it has a leader its clients see.
func (c *NATSCluster) Ready(ctx context.Context) error {
	return Poll(ctx, time.Minute, func() error {
		for _, port := range c.clients {
			conn, err := net.DialTimeout("tcp", net.JoinHostPort(c.host, port), time.Second)
			if err != nil {
				return err
			}
			_ = conn.Close()
		}
		return nil
	})
}
