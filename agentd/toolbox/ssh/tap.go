package ssh

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// tap is a connection that listens to the server's part of the first key
// exchange, which is in clear text, for what the library does not hand out: the
// host key and its signature. The library itself has checked both before
// anybody asks for them.
type tap struct {
	net.Conn

	mu        sync.Mutex
	buf       []byte
	versioned bool // the line that ends in clear text is past
	over      bool // what follows is encrypted
	hostKey   []byte
	signature []byte
}

const (
	// The numbers of messages, of RFC 4253 (section 12), RFC 5656 and RFC 4419.
	msgNewKeys  = 21
	msgReply    = 31 // of Diffie-Hellman, ECDH and what is built like it
	msgGexReply = 33
	maxPacket   = 256 << 10
)

// Read reads, and looks at what was read.
func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.buf = append(t.buf, b[:n]...)
		t.look()
	}
	return n, err
}

// reply returns what the server has shown.
func (t *tap) reply() (hostKey, signature []byte, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hostKey, t.signature, t.hostKey != nil
}

// look takes whole lines and packets off the buffer.
func (t *tap) look() {
	for !t.versioned {
		line, rest, whole := bytes.Cut(t.buf, []byte("\n"))
		if !whole {
			t.stopAt(len(t.buf) > maxPacket)
			return
		}
		t.buf, t.versioned = rest, bytes.HasPrefix(line, []byte("SSH-"))
	}
	for len(t.buf) >= 5 && !t.over {
		n := int(binary.BigEndian.Uint32(t.buf))
		padding := int(t.buf[4])
		if n > maxPacket || n < padding+2 {
			t.stopAt(true)
			return
		}
		if len(t.buf) < 4+n {
			return
		}
		payload := t.buf[5 : 4+n-padding]
		t.buf = t.buf[4+n:]
		t.packet(payload)
	}
}

func (t *tap) stopAt(stop bool) {
	if stop {
		t.over, t.buf = true, nil
	}
}

func (t *tap) packet(payload []byte) {
	switch payload[0] {
	case msgNewKeys:
		t.stopAt(true)
	case msgReply, msgGexReply:
		var reply struct {
			Type                       byte
			HostKey, Public, Signature []byte
		}
		if ssh.Unmarshal(payload, &reply) == nil {
			t.hostKey, t.signature = reply.HostKey, reply.Signature
		}
	}
}
