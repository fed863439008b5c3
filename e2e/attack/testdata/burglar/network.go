package main

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// sockets are those that forge packets, or speak with the kernel and the machine's own services.
func sockets() {
	for _, s := range []struct {
		what                   string
		family, kind, protocol int
	}{
		{"a raw packet socket", unix.AF_PACKET, unix.SOCK_RAW, 0x0300},
		{"a cooked packet socket", unix.AF_PACKET, unix.SOCK_DGRAM, 0x0300},
		{"a raw IP socket", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
		{"a raw ICMP socket", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		{"a raw IPv6 socket", unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
	} {
		_, err := unix.Socket(s.family, s.kind, s.protocol)
		refused(s.what, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
	}
	refused("another's address as one's own", err)
	refused("packets past the routes", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 1))
}

// vsock is the way from a virtual machine to its host, past every network.
func vsock() {
	for _, cid := range []uint32{unix.VMADDR_CID_HYPERVISOR, unix.VMADDR_CID_LOCAL, unix.VMADDR_CID_HOST} {
		fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrVM{CID: cid, Port: 1024})
		}
		refused("a connection to the hypervisor", err)
	}
}

// frames writes what init would tell its agent: a header of yamux's, and an
// event that the script has ended well.
func frames() {
	for stream := range uint32(8) {
		for _, event := range []string{`{"exit":{"code":0}}`, `{"failed":"no"}`} {
			body := binary.BigEndian.AppendUint32(nil, uint32(len(event)))
			body = append(body, event...)
			head := []byte{0, 0, 0, 0}
			head = binary.BigEndian.AppendUint32(head, stream)
			head = binary.BigEndian.AppendUint32(head, uint32(len(body)))
			_, _ = os.Stdout.Write(append(head, body...))
		}
	}
	goodbye := []byte{0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	_, _ = os.Stdout.Write(goodbye)
}
