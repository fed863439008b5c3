package sshkey

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"

	"ci/pkg/ci"
)

// Agent keeps one private key in memory and serves the SSH agent protocol
// (datatracker.ietf.org/doc/draft-ietf-sshm-ssh-agent) to callers that it does
// not trust. It lists the key, and signs a log-in for a server whose host key
// is pinned; it does nothing else.
//
// That a log-in is for a certain server it knows by session-bind@openssh.com
// (OpenSSH's PROTOCOL.agent, section 1): before it asks for a signature, a
// client shows the server's own signature over the session's identifier.
// OpenSSH does so since 8.9. Who does not bind gets no signature.
type Agent struct {
	signer ssh.Signer
	name   string
	hosts  map[string]bool // host keys in wire format
	say    func(line string)

	mu   sync.Mutex
	said map[string]bool
}

// NewAgent makes an agent of access. say is told, once each, why something
// was refused; nil tells nobody.
func NewAgent(access ci.SSHAccess, say func(line string)) (*Agent, error) {
	s, err := signer(access)
	if err != nil {
		return nil, err
	}
	a := &Agent{signer: s, name: access.Name, hosts: map[string]bool{}, say: say, said: map[string]bool{}}
	for _, h := range access.Hosts {
		key, err := hostKey(h.Key)
		if err != nil {
			return nil, fmt.Errorf("a host key of %s for key %s %w", h.Host, access.Name, err)
		}
		a.hosts[string(key.Marshal())] = true
	}
	return a, nil
}

// The messages of the protocol that are understood.
const (
	msgFailure    = 5
	msgSuccess    = 6
	msgList       = 11
	msgListed     = 12
	msgSign       = 13
	msgSigned     = 14
	msgExtension  = 27
	maxMessage    = 256 << 10 // OpenSSH's limit
	bindExtension = "session-bind@openssh.com"
)

// Serve answers one connection until it ends or ctx does, and closes it.
func (a *Agent) Serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c := &caller{agent: a}
	for {
		request, err := readMessage(conn)
		if err != nil {
			return
		}
		answer := c.answer(request)
		if err := writeMessage(conn, answer); err != nil {
			return
		}
	}
}

func readMessage(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxMessage {
		return nil, errors.New("a message of an impossible length")
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func writeMessage(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

// caller is one connection and the session that it is bound to.
type caller struct {
	agent   *Agent
	session []byte // nil until it is bound
	host    []byte
	// spent: it was bound to a second session, or to one that would be
	// forwarded; nothing is signed on it any more.
	spent bool
}

func (c *caller) answer(request []byte) []byte {
	switch request[0] {
	case msgList:
		return ssh.Marshal(struct {
			Type    byte
			N       uint32
			Blob    []byte
			Comment string
		}{msgListed, 1, c.agent.signer.PublicKey().Marshal(), "ci:" + c.agent.name})
	case msgSign:
		signature, err := c.sign(request)
		if err != nil {
			c.agent.refuse(err)
			return []byte{msgFailure}
		}
		return ssh.Marshal(struct {
			Type      byte
			Signature []byte
		}{msgSigned, ssh.Marshal(signature)})
	case msgExtension:
		if err := c.bind(request); err != nil {
			return []byte{msgFailure}
		}
		return []byte{msgSuccess}
	}
	return []byte{msgFailure}
}

// Bind is the contents of session-bind@openssh.com.
type Bind struct {
	Type       byte
	Name       string
	HostKey    []byte
	Session    []byte
	Signature  []byte
	Forwarding bool
}

// bind learns which server this connection logs in to. The server's signature
// proves that it takes part in the session.
func (c *caller) bind(request []byte) error {
	var b Bind
	if err := ssh.Unmarshal(request, &b); err != nil || b.Name != bindExtension {
		return errors.New("an unknown extension")
	}
	if c.spent || c.session != nil || b.Forwarding {
		c.spent = true // a key that is forwarded could be used from there for any purpose
		return errors.New("a second session")
	}
	if len(b.Session) == 0 || len(b.Session) > 128 {
		return errors.New("no session identifier")
	}
	key, err := ssh.ParsePublicKey(b.HostKey)
	if err != nil {
		return err
	}
	var s ssh.Signature
	if err := ssh.Unmarshal(b.Signature, &s); err != nil {
		return err
	}
	if err := key.Verify(b.Session, &s); err != nil {
		return err
	}
	c.session, c.host = b.Session, b.HostKey
	return nil
}

// login is what an SSH client has signed to log in by a key (RFC 4252, section 7).
type login struct {
	Session   []byte
	Type      byte
	User      string
	Service   string
	Method    string
	Signed    bool
	Algorithm string
	Key       []byte
	Rest      []byte `ssh:"rest"`
}

// sign signs a log-in to the server that the connection is bound to.
func (c *caller) sign(request []byte) (*ssh.Signature, error) {
	var m struct {
		Type  byte
		Key   []byte
		Data  []byte
		Flags uint32
	}
	if err := ssh.Unmarshal(request, &m); err != nil {
		return nil, errors.New("it was asked for a signature in a form that is none")
	}
	own := c.agent.signer.PublicKey()
	if !bytes.Equal(m.Key, own.Marshal()) {
		return nil, errors.New("it was asked for a signature by a key that it does not have")
	}
	if err := c.may(m.Data, own); err != nil {
		return nil, err
	}
	return c.agent.signer.Sign(rand.Reader, m.Data)
}

// may says why data is not to be signed.
func (c *caller) may(data []byte, own ssh.PublicKey) error {
	var l login
	switch err := ssh.Unmarshal(data, &l); {
	case err != nil || l.Type != 50 || l.Service != "ssh-connection" || !l.Signed:
		return errors.New("it signs log-ins to SSH servers alone, and was asked to sign something else")
	case c.spent:
		return errors.New("the key may not be forwarded to another machine")
	case c.session == nil:
		return errors.New("the SSH client did not say which server it logs in to (session-bind@openssh.com); use OpenSSH 8.9 or newer, or the toolbox's own ssh")
	case !bytes.Equal(l.Session, c.session):
		return errors.New("it was asked to sign a log-in to another session than the connection is bound to")
	case !bytes.Equal(l.Key, own.Marshal()) || l.Algorithm != own.Type():
		return errors.New("it was asked to sign a log-in by another key")
	case !c.agent.hosts[string(c.host)]:
		return fmt.Errorf("a server with the host key %s is not among the hosts of the key; add it with ci ssh-key hosts add %s", fingerprint(c.host), c.agent.name)
	}
	switch l.Method {
	case "publickey":
		if len(l.Rest) == 0 {
			return nil
		}
	case "publickey-hostbound-v00@openssh.com":
		var bound struct{ HostKey []byte }
		if ssh.Unmarshal(l.Rest, &bound) == nil && bytes.Equal(bound.HostKey, c.host) {
			return nil
		}
	}
	return errors.New("it signs log-ins to SSH servers alone, and was asked to sign something else")
}

func fingerprint(blob []byte) string {
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return "unknown"
	}
	return ssh.FingerprintSHA256(key)
}

// maxSaid bounds how many different refusals are told.
const maxSaid = 20

// refuse tells why, once for each reason.
func (a *Agent) refuse(why error) {
	a.mu.Lock()
	line := fmt.Sprintf("The SSH agent did not use key %s: %v.", a.name, why)
	again := a.said[line] || len(a.said) >= maxSaid
	if !again {
		a.said[line] = true
	}
	a.mu.Unlock()
	if !again && a.say != nil {
		a.say(line)
	}
}
