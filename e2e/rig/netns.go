package rig

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
)

// Netns is a network namespace: a machine's network without the machine. What
// runs in it reaches the test's machine over a pair of virtual cables, and
// single ports of it can be cut off, as a firewall that drops packets does it.
//
// Where this process may not make one, as in a container without privileges,
// it is the machine's own network, and what is cut off are the proxies that
// Through was told of: they hold every byte back, and no connection ends.
type Netns struct {
	Name string // empty where there is none
	Host string // the test's machine, as seen from inside

	proxies map[int]*Proxy
}

// NewNetns makes one. It takes root, as the container engine does.
func NewNetns(ctx context.Context) (*Netns, error) {
	for _, p := range []string{"ip", "iptables"} {
		if find(p) == "" {
			return nil, fmt.Errorf("tests of partitions need %s: install iproute2 and iptables (tools/need.sh iproute2 iptables)", p)
		}
	}
	var made error
	for range 5 { // the range may be somebody's
		n := &Netns{Name: "ci" + Random()}
		a, b := 64+rand.IntN(64), rand.IntN(256)
		n.Host = fmt.Sprintf("100.%d.%d.1", a, b) // RFC 6598: no company's network
		inside := fmt.Sprintf("100.%d.%d.2/30", a, b)
		made = run(ctx,
			[]string{"ip", "netns", "add", n.Name},
			[]string{"ip", "link", "add", n.Name + "a", "type", "veth", "peer", "name", n.Name + "b", "netns", n.Name},
			[]string{"ip", "addr", "add", n.Host + "/30", "dev", n.Name + "a"},
			[]string{"ip", "link", "set", n.Name + "a", "up"},
			[]string{"ip", "-n", n.Name, "addr", "add", inside, "dev", n.Name + "b"},
			[]string{"ip", "-n", n.Name, "link", "set", n.Name + "b", "up"},
			[]string{"ip", "-n", n.Name, "link", "set", "lo", "up"},
			[]string{"ip", "-n", n.Name, "route", "add", "default", "via", n.Host},
		)
		if made == nil {
			return n, nil
		}
		_ = n.Close()
		if strings.Contains(made.Error(), "Operation not permitted") {
			return &Netns{Host: "127.0.0.1", proxies: map[int]*Proxy{}}, nil
		}
	}
	return nil, made
}

// Through names a proxy whose port may be cut off. It listens at Host, and none
// but what runs inside uses it.
func (n *Netns) Through(port int, p *Proxy) {
	if n.Name == "" {
		n.proxies[port] = p
	}
}

// Command is what runs a program inside, before its own path and arguments.
func (n *Netns) Command() []string {
	if n.Name == "" {
		return nil
	}
	return []string{find("ip"), "netns", "exec", n.Name}
}

// Cut drops whatever passes between the inside and a TCP port of the host.
func (n *Netns) Cut(ctx context.Context, port int) error {
	if n.Name == "" {
		return n.held(port, (*Proxy).Hang)
	}
	return n.rules(ctx, "-I", port)
}

// Mend takes a Cut back.
func (n *Netns) Mend(ctx context.Context, port int) error {
	if n.Name == "" {
		return n.held(port, (*Proxy).Flow)
	}
	return n.rules(ctx, "-D", port)
}

// Apart says whether it is a network of its own. Only such a one loses packets
// and can be made narrow.
func (n *Netns) Apart() bool { return n.Name != "" }

// Lose drops a share (0 to 1) of all TCP packets between the inside and the
// host, each way, until Find is called with the same share.
func (n *Netns) Lose(ctx context.Context, share float64) error { return n.loss(ctx, "-I", share) }

// Find takes a Lose back.
func (n *Netns) Find(ctx context.Context, share float64) error { return n.loss(ctx, "-D", share) }

func (n *Netns) loss(ctx context.Context, verb string, share float64) error {
	var rules [][]string
	for _, chain := range []string{"OUTPUT", "INPUT"} {
		rules = append(rules, append(n.Command(), find("iptables"), "-w", verb, chain, "-p", "tcp",
			"-m", "statistic", "--mode", "random", "--probability", strconv.FormatFloat(share, 'f', 3, 64), "-j", "DROP"))
	}
	return run(ctx, rules...)
}

// Narrow lets no more pass each way than rate says (as tc has it: "64kbit"),
// until Widen is called. What does not pass at once waits in line.
func (n *Netns) Narrow(ctx context.Context, rate string) error {
	shape := []string{"root", "tbf", "rate", rate, "burst", "8kb", "latency", "2s"}
	return run(ctx,
		append([]string{"tc", "qdisc", "add", "dev", n.Name + "a"}, shape...),
		append([]string{"tc", "-n", n.Name, "qdisc", "add", "dev", n.Name + "b"}, shape...),
	)
}

// Widen takes a Narrow back.
func (n *Netns) Widen(ctx context.Context) error {
	return run(ctx,
		[]string{"tc", "qdisc", "del", "dev", n.Name + "a", "root"},
		[]string{"tc", "-n", n.Name, "qdisc", "del", "dev", n.Name + "b", "root"},
	)
}

func (n *Netns) held(port int, do func(*Proxy)) error {
	p := n.proxies[port]
	if p == nil {
		return fmt.Errorf("port %d can't be cut off: nobody has named its proxy", port)
	}
	do(p)
	return nil
}

func (n *Netns) rules(ctx context.Context, verb string, port int) error {
	p := strconv.Itoa(port)
	inside := append(n.Command(), find("iptables"), "-w")
	return run(ctx,
		append(inside[:len(inside):len(inside)], verb, "OUTPUT", "-p", "tcp", "--dport", p, "-j", "DROP"),
		append(inside[:len(inside):len(inside)], verb, "INPUT", "-p", "tcp", "--sport", p, "-j", "DROP"),
	)
}

// Close removes the namespace; its cables go with it.
func (n *Netns) Close() error {
	if n.Name == "" {
		return nil
	}
	ctx := context.Background()
	err := run(ctx, []string{"ip", "netns", "del", n.Name})
	_ = run(ctx, []string{"ip", "link", "del", n.Name + "a"}) // it has usually gone with its other end
	return err
}

// program is where a command's program is; a path stays.
func program(name string) string {
	if found := find(name); found != "" {
		return found
	}
	return name
}

func run(ctx context.Context, commands ...[]string) error {
	for _, c := range commands {
		if out, err := exec.CommandContext(ctx, program(c[0]), c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	return nil
}
