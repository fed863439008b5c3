package attack

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// networkAttacks look for whatever is not the outside.
func networkAttacks() []attack {
	return []attack{
		{
			name: "gateway", what: "the machine's services by the gateway's address", stops: "the wall: nftables on what comes in by agents' bridges",
			test: fromInside(func(w *world) string {
				return "gw=$(ip route | awk '/^default/ {print $3}')\n" + knock("$gw", w.decoy.port, "22", "80", "2375", "2376", "4222", "5432", "8080")
			}),
		},
		{
			name: "host-addresses", what: "the machine's services by all of its other addresses, IPv4 and IPv6", stops: "the wall",
			test: fromInside(func(w *world) string {
				var script strings.Builder
				for _, ip := range addresses() {
					script.WriteString(knock(ip, w.decoy.port, "22", "2375"))
				}
				return script.String()
			}),
		},
		{
			name: "host-loopback", what: "the machine's loopback: a job's own `127.0.0.1`, and `localhost` by its other names", stops: "a network namespace of its own",
			test: fromInside(func(w *world) string {
				_, api, _ := net.SplitHostPort(strings.TrimPrefix(w.cid.URL, "http://"))
				return knock("127.0.0.1", w.decoy.port, api) + knock("127.1.2.3", w.decoy.port) + knock("0.0.0.0", w.decoy.port) + knock("::1", w.decoy.port) +
					knock("host.docker.internal", w.decoy.port) + knock("gateway.docker.internal", w.decoy.port)
			}),
		},
		{
			name: "api-from-inside", what: "the backend's API from inside a job that may not call it", stops: "the wall; and without a token every call is 401",
			test: fromInside(func(w *world) string {
				_, api, _ := net.SplitHostPort(strings.TrimPrefix(w.cid.URL, "http://"))
				return knock(w.host, api) + "refuse wget -q -O- http://" + net.JoinHostPort(w.host, api) + "/jobs\nrefuse wget -q -O- " + w.cid.URL + "/jobs\n" +
					"if env | grep -E 'CI_TOKEN|CI_URL='; then echo BREACH; fi\n"
			}),
		},
		{
			name: "engine", what: "the container engine: its socket and its ports", stops: "nothing is mounted; the wall",
			test: fromInside(func(w *world) string {
				return "nothing /var/run/docker.sock /run/docker.sock /run/containerd /var/run/containerd/containerd.sock /run/podman/podman.sock /var/lib/docker\n" +
					"if grep -E 'docker|containerd' /proc/net/unix; then echo BREACH; else echo 'held: no socket of the engine'; fi\n" +
					knock(w.host, "2375", "2376", "2377", "7946")
			}),
		},
		{
			name: "metadata", what: "a cloud's metadata and credentials at link-local addresses", stops: "the wall: 169.254.0.0/16 is not forwarded, nor is anything by IPv6",
			test: fromInside(func(*world) string {
				return knock("169.254.169.254", "80", "443") + knock("169.254.170.2", "80") + knock("169.254.0.1", "80") + knock("fd00:ec2::254", "80")
			}),
		},
		{
			name: "ipv6", what: "the machine by IPv6, its link-local address first", stops: "no IPv6 in jobs' networks; the wall speaks both",
			test: fromInside(func(w *world) string {
				var script strings.Builder
				script.WriteString("if grep -v ' lo$' /proc/net/if_inet6 2>/dev/null; then echo 'BREACH: an address'; else echo 'held: no address but loopback'; fi\n")
				for _, ip := range linkLocals() {
					script.WriteString(knock(ip+"%eth0", w.decoy.port))
				}
				return script.String() + "refuse ping6 -c 1 -W 1 ff02::1%eth0\nrefuse ip -6 addr add fd00::99/64 dev eth0\n"
			}),
		},
		{
			name: "other-run", what: "another run's ports by its address", stops: "no traffic between containers of a bridge",
			test: fromInside(func(w *world) string {
				return knock(w.victim.address, "8080", "80", "22") + "if echo x | nc -u -w 1 " + w.victim.address + " 8080 | grep -q .; then echo BREACH; fi\nrefuse ping -c 1 -W 1 " + w.victim.address + "\n"
			}),
		},
		{
			name: "subnet-scan", what: "whoever else is on the bridge, by scanning its whole range", stops: "no traffic between containers of a bridge",
			test: fromInside(func(w *world) string {
				net := w.victim.address[:strings.LastIndex(w.victim.address, ".")]
				return "me=$(hostname -i)\nfor n in $(seq 1 30); do [ " + net + ".$n = $me ] || closed " + net + ".$n 8080 & done; wait\n"
			}),
		},
		{
			name: "other-bridge", what: "a container on the engine's own bridge", stops: "the engine's isolation between bridges",
			test: func(t *testing.T, w *world) {
				ip := w.bystander(t)
				fromInside(func(*world) string { return knock(ip, "8080") })(t, w)
			},
		},
		{
			name: "names", what: "other runs and the engine's containers by name, and what the name server says about its neighbours", stops: "names are made at random and tell no job; no port answers behind them",
			test: fromInside(func(w *world) string {
				return fmt.Sprintf("for n in run-%d-job %s victim db postgres cid ci-agent; do refuse nslookup $n 127.0.0.11; done\n", w.victim.run.ID, w.victim.run.Job) +
					"if nslookup " + w.victim.address + " 127.0.0.11 2>&1 | grep " + w.victim.run.Job + "; then echo BREACH; else echo 'held: no job by address'; fi\n"
			}),
		},
		{name: "forged-packets", what: "forged packets: raw and packet sockets, foreign addresses, ARP, marks", stops: "no `NET_RAW`, no `NET_ADMIN`", script: "burglar sockets\nrefuse arping -c 1 -I eth0 10.0.0.1\nrefuse traceroute -I 192.0.2.1"},
		{
			name: "network-settings", what: "addresses, routes, neighbours, links, tunnels and packet filters of one's own", stops: "no `NET_ADMIN`",
			script: `refuse ip addr add 10.0.0.99/24 dev eth0
refuse ip route add 169.254.169.254 dev eth0
refuse ip neigh add 10.231.0.9 lladdr 02:42:00:00:00:09 dev eth0
refuse ip link set eth0 promisc on
refuse ip link add evil type dummy
refuse ip tunnel add evil mode gre remote 192.0.2.1
refuse ifconfig eth0 hw ether 02:42:00:00:00:01
refuse arp -s 10.231.0.9 02:42:00:00:00:09`,
		},
	}
}

// fromInside plays a script that knows the world.
func fromInside(script func(*world) string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		run := w.play(t, spec{"script": prelude + script(w), "timeout": "4m"})
		require.Equal(t, "succeeded", run.Outcome, run.Reason)
		held(t, run.console)
	}
}

// knock tries ports of an address.
func knock(address string, ports ...string) string {
	var script strings.Builder
	for _, port := range ports {
		fmt.Fprintf(&script, "closed \"%s\" %s\n", address, port)
	}
	return script.String()
}

// addresses are all of this machine's but its loopback and link-local ones.
func addresses() []string { return interfaces(net.IP.IsGlobalUnicast) }

// linkLocals are its link-local ones.
func linkLocals() []string { return interfaces(net.IP.IsLinkLocalUnicast) }

// interfaces are addresses of this machine that it has for good: the bridges of
// agents come and go, and an address that has gone is the outside's.
func interfaces(want func(net.IP) bool) []string {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var found []string
	for _, i := range all {
		if strings.HasPrefix(i.Name, "ci") || strings.HasPrefix(i.Name, "veth") || strings.HasPrefix(i.Name, "br-") {
			continue
		}
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && want(n.IP) {
				found = append(found, n.IP.String())
			}
		}
	}
	return found
}

// bystander is somebody else's container on the engine's own bridge, with a port open.
func (w *world) bystander(t *testing.T) (ip string) {
	t.Helper()
	c, err := w.docker.Run(t.Context(), w.image, "sh", "-c", "while :; do echo hello | nc -l -p 8080 >/dev/null; done")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Remove()) })
	require.NotEmpty(t, c.IP)
	return c.IP
}
