// Package wall keeps containers away from the machine that they run on. Docker
// separates networks from each other, but every container reaches its host: by
// the address of its gateway and by all others that the host has, and through
// it the metadata service of a cloud at a link-local address. The wall is one
// nftables table in the network of the host, which says no to both.
package wall

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

// linkLocal is where clouds serve an instance's metadata and credentials (RFC 3927).
var linkLocal = netip.MustParsePrefix("169.254.0.0/16")

// before has the table look at packets before the engine's own rules do.
var before = nftables.ChainPriorityRef(-5)

// Main reads a pipe.Wall from standard input, raises it or takes it down, and
// answers with a pipe.Walled. It runs in the network of the host with
// CAP_NET_ADMIN and nothing else.
func Main() int {
	var order pipe.Wall
	if err := pipe.ReadFrame(os.Stdin, &order, pipe.MaxDown); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n", err)
		return 1
	}
	answer := pipe.Walled{}
	if err := obey(order); err != nil {
		answer.Failed = err.Error()
	}
	if err := pipe.WriteFrame(os.Stdout, answer, pipe.MaxUp); err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the agent has read it
	return 0
}

func obey(order pipe.Wall) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("the kernel's packet filter can't be reached: %w", err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: order.Name}
	// Adding before deleting makes the deletion work whether it is there or
	// not, and all of it is one transaction: there is no moment without a wall.
	conn.AddTable(table)
	conn.DelTable(table)
	if !order.Down {
		if order.Bridges == "" {
			return errors.New("the order names no bridges; the wall would be around everything")
		}
		raise(conn, conn.AddTable(table), order, nameservers("/etc/resolv.conf"))
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("the kernel refuses the rules: %w", err)
	}
	return nil
}

// raise adds the chains. Whatever a rule does not end goes on to the rules of
// the host and the engine.
func raise(conn *nftables.Conn, table *nftables.Table, order pipe.Wall, dns []netip.Addr) {
	accept := nftables.ChainPolicyAccept
	chain := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		return conn.AddChain(&nftables.Chain{Name: name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: before, Policy: &accept})
	}
	rule := func(c *nftables.Chain, parts ...[]expr.Any) {
		var all []expr.Any
		for _, p := range parts {
			all = append(all, p...)
		}
		conn.AddRule(&nftables.Rule{Table: table, Chain: c, Exprs: all})
	}
	input, forward := chain("input", nftables.ChainHookInput), chain("forward", nftables.ChainHookForward)
	around := func(from []expr.Any) {
		rule(input, from, answers(), verdict(expr.VerdictAccept))
		for _, server := range dns { // a host that is its containers' name server
			for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
				rule(input, from, to(netip.PrefixFrom(server, 32)), port(protocol, 53), verdict(expr.VerdictAccept))
			}
		}
		for _, p := range order.Reach {
			rule(input, from, port(unix.IPPROTO_TCP, p), verdict(expr.VerdictAccept))
		}
		rule(input, from, refuse())
		rule(forward, from, to(linkLocal), refuse())
	}
	around(arriving([]byte(order.Bridges))) // without its end: any that begin so
	if order.Bridge != "" {
		around(arriving(append([]byte(order.Bridge), 0)))
	}
}

// Where an IPv4 header has its destination (RFC 791, 3.1), and a TCP or UDP
// header its destination port.
const (
	targetAt = 16
	portAt   = 2
)

// arriving matches packets that come in by an interface whose name, which a
// zero byte ends, begins so.
func arriving(name []byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
	}
}

// to matches IPv4 packets to a range.
func to(in netip.Prefix) []expr.Any {
	ip := in.Masked().Addr().As4()
	mask := make([]byte, 4)
	for bit := range in.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: targetAt, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: ip[:]},
	}
}

// port matches packets of a protocol to a port.
func port(protocol byte, number uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: portAt, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(number)},
	}
}

// answers matches packets of connections that the host has begun.
func answers() []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED),
			Xor:  binaryutil.NativeEndian.PutUint32(0),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)},
	}
}

func verdict(v expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: v}} }

// refuse answers "administratively prohibited", so that a job fails at once
// instead of waiting for its own timeout.
func refuse() []expr.Any {
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
}

// nameservers are those that the engine gives to containers. A line that is no
// IPv4 address is not for us.
func nameservers(path string) []netip.Addr {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	var found []netip.Addr
	for lines := bufio.NewScanner(file); lines.Scan() && len(found) < 8; {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(words[1]); err == nil && ip.Is4() && !ip.IsLoopback() {
			found = append(found, ip)
		}
	}
	return found
}
