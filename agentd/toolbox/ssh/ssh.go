// Package ssh is a small SSH client for images that have none: it logs in by
// the run's agent, believes the hosts that are known, and runs one command.
// That is all that git asks of it. There are no key files, no forwarding, no
// terminals and no questions.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// failed is ssh's own exit status, as opposed to a command's.
const failed = 255

// Main is `ssh args…`. It returns the command's exit status, 255 when there is none.
func Main(args []string) int {
	o, err := parse(args)
	if err != nil {
		return complain(err)
	}
	code, err := run(o)
	if err != nil {
		return complain(err)
	}
	return code
}

func complain(err error) int {
	fmt.Fprintf(os.Stderr, "ssh: %v\n", err)
	return failed
}

func run(o *options) (int, error) {
	client, err := dial(o)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return 0, fmt.Errorf("%s gives no session: %w", o.host, err)
	}
	defer session.Close()
	session.Stdin, session.Stdout, session.Stderr = o.stdin(), os.Stdout, os.Stderr
	for _, name := range o.sendEnv {
		if value, ok := os.LookupEnv(name); ok {
			_ = session.Setenv(name, value) // a server may refuse it, as OpenSSH's client takes too
		}
	}
	if o.command == "" {
		err = session.Shell()
	} else {
		err = session.Start(o.command)
	}
	if err == nil {
		err = session.Wait()
	}
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Signal() == "":
		return exit.ExitStatus(), nil
	case errors.As(err, &exit):
		return 0, fmt.Errorf("the command on %s was ended by SIG%s", o.host, exit.Signal())
	}
	return 0, fmt.Errorf("the connection to %s was lost: %w", o.host, err)
}

// dial connects and logs in.
func dial(o *options) (*ssh.Client, error) {
	known, err := o.known()
	if err != nil {
		return nil, err
	}
	keys, err := newKeys(o.agent)
	if err != nil {
		return nil, err
	}
	defer keys.close()
	address := net.JoinHostPort(o.host, strconv.Itoa(o.port))
	if err := stranger(known, address); err != nil {
		return nil, explain(o, err)
	}
	conn, err := (&net.Dialer{Timeout: o.timeout}).DialContext(context.Background(), o.network, address)
	if err != nil {
		return nil, fmt.Errorf("%s can't be reached: %w", address, err)
	}
	tap := &tap{Conn: conn}
	keys.tap = tap
	config := &ssh.ClientConfig{
		User:              o.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeysCallback(keys.signers)},
		HostKeyCallback:   known,
		HostKeyAlgorithms: algorithms(known, address, conn.RemoteAddr()),
		Timeout:           o.timeout,
		BannerCallback:    func(text string) error { _, err := io.WriteString(os.Stderr, text); return err },
	}
	c, channels, requests, err := ssh.NewClientConn(tap, address, config)
	if err != nil {
		_ = conn.Close()
		return nil, explain(o, err)
	}
	return ssh.NewClient(c, channels, requests), nil
}

// explain uses OpenSSH's words where people and programs look for them.
func explain(o *options, err error) error {
	var key *knownhosts.KeyError
	switch {
	case errors.As(err, &key):
		//lint:ignore ST1005 OpenSSH's own line
		return fmt.Errorf("%s has no key that is known for it (known hosts: %s)\nHost key verification failed.", o.host, strings.Join(o.knownHosts, ", "))
	case strings.Contains(err.Error(), "unable to authenticate"):
		//lint:ignore ST1005 OpenSSH's own line
		return fmt.Errorf("%s@%s: Permission denied (publickey).", o.user, o.host)
	}
	return fmt.Errorf("%s: %w", o.host, err)
}

// known reads the files of known hosts that exist.
func (o *options) known() (ssh.HostKeyCallback, error) {
	var files []string
	for _, f := range o.knownHosts {
		if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
			files = append(files, f)
		}
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return nil, fmt.Errorf("the known hosts can't be read: %w", err)
	}
	return known, nil
}

// stranger is the error for a host that no key is known of: there is no use in
// connecting to it.
func stranger(known ssh.HostKeyCallback, address string) error {
	var key *knownhosts.KeyError
	if err := known(address, &net.TCPAddr{IP: net.IPv4zero}, nobody{}); errors.As(err, &key) && len(key.Want) == 0 {
		return err
	}
	return nil
}

// algorithms are those that a host's known keys are of, so that a server with
// keys of several types shows one that is known. None known means any.
func algorithms(known ssh.HostKeyCallback, address string, remote net.Addr) []string {
	var key *knownhosts.KeyError
	if err := known(address, remote, nobody{}); !errors.As(err, &key) {
		return nil
	}
	var list []string
	for _, want := range key.Want {
		if t := want.Key.Type(); t == ssh.KeyAlgoRSA {
			list = append(list, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			list = append(list, t)
		}
	}
	return list
}

// nobody is a key that no host has; to ask for it tells which ones a host has.
type nobody struct{}

func (nobody) Type() string                        { return "nobody" }
func (nobody) Marshal() []byte                     { return []byte("nobody") }
func (nobody) Verify([]byte, *ssh.Signature) error { return errors.New("nobody signs") }

// keys are the agent's, each bound to the session before it signs.
type keys struct {
	conn   net.Conn
	client agent.ExtendedAgent
	tap    *tap
	bound  bool
}

func newKeys(socket string) (*keys, error) {
	if socket == "" {
		return nil, errors.New("there is no SSH agent (SSH_AUTH_SOCK is not set), and this ssh has no other keys; the job file needs ssh: true")
	}
	conn, err := new(net.Dialer).DialContext(context.Background(), "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("the SSH agent can't be reached: %w", err)
	}
	return &keys{conn: conn, client: agent.NewClient(conn)}, nil
}

func (k *keys) close() { _ = k.conn.Close() }

func (k *keys) signers() ([]ssh.Signer, error) {
	list, err := k.client.List()
	if err != nil {
		return nil, fmt.Errorf("the SSH agent does not answer: %w", err)
	}
	var signers []ssh.Signer
	for _, key := range list {
		signers = append(signers, &signer{keys: k, key: key})
	}
	return signers, nil
}

type signer struct {
	keys *keys
	key  *agent.Key
}

// PublicKey returns the agent's key.
func (s *signer) PublicKey() ssh.PublicKey { return s.key }

// Sign shows the agent which server the log-in is for, and has it signed.
func (s *signer) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	if err := s.keys.bind(data); err != nil {
		return nil, err
	}
	return s.keys.client.Sign(s.key, data)
}

// bind is session-bind@openssh.com (OpenSSH's PROTOCOL.agent, section 1). data
// begins with the session's identifier (RFC 4252, section 7).
func (k *keys) bind(data []byte) error {
	if k.bound {
		return nil
	}
	var login struct {
		Session []byte
		Rest    []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(data, &login); err != nil {
		return err
	}
	hostKey, signature, ok := k.tap.reply()
	if !ok {
		return errors.New("the server's key exchange could not be followed")
	}
	_, err := k.client.Extension("session-bind@openssh.com", ssh.Marshal(struct {
		HostKey, Session, Signature []byte
		Forwarding                  bool
	}{hostKey, login.Session, signature, false}))
	k.bound = err == nil
	if err != nil && !errors.Is(err, agent.ErrExtensionUnsupported) {
		return fmt.Errorf("the SSH agent does not take the session: %w", err)
	}
	return nil
}

func homeFile(name string) string {
	if home := os.Getenv("HOME"); home != "" {
		return filepath.Join(home, ".ssh", name)
	}
	return ""
}
