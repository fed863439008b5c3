package source

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"ci/pkg/ci"
	"ci/pkg/sshkey"
)

// key is a job's key pair while one repository is looked at: an agent in this
// process, which ssh reaches over a socket in a folder that is ours alone. The
// private key is never on the disk.
type key struct {
	access *ci.SSHAccess
	dir    string
	stop   func()

	mu   sync.Mutex
	said []string // why the agent refused something
}

// plain says whether ssh takes a path as it is: without a space, without
// quotes, without anything that it would expand, and not too long for a socket.
func plain(path string) bool {
	return len(path) <= maxSocket && !strings.ContainsAny(path, " \t\n'\"\\%$~#")
}

// maxSocket is how long the path of a folder may be that a socket is to lie
// in: the kernel takes 107 bytes for the whole path.
const maxSocket = 90

// unlock begins to serve access; close ends it.
func (s *Source) unlock(ctx context.Context, access *ci.SSHAccess) (*key, error) {
	k := &key{access: access}
	agent, err := sshkey.NewAgent(*access, k.note)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the job's SSH key can't be used: %w", err)
	}
	if k.dir, err = os.MkdirTemp(s.cfg.Dir, "ci-plan-key-*"); err == nil && !plain(k.dir) {
		_ = os.RemoveAll(k.dir)
		k.dir, err = os.MkdirTemp("", "ci-plan-key-*")
	}
	if err == nil {
		err = os.WriteFile(k.hosts(), sshkey.KnownHosts(access.Hosts), 0o600)
	}
	var listener net.Listener
	if err == nil {
		listener, err = new(net.ListenConfig).Listen(ctx, "unix", k.socket())
	}
	if err != nil {
		_ = os.RemoveAll(k.dir)
		return nil, ci.Errorf(ci.CodeUnavailable, "there is no room for the job's SSH key to be used: %w", err)
	}
	k.serve(ctx, listener, agent)
	return k, nil
}

func (k *key) socket() string { return filepath.Join(k.dir, "agent") }
func (k *key) hosts() string  { return filepath.Join(k.dir, "known_hosts") }

// serve answers on the socket until stop, which waits for all that it began.
func (k *key) serve(ctx context.Context, listener net.Listener, agent *sshkey.Agent) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { agent.Serve(ctx, conn) })
		}
	})
	k.stop = func() {
		cancel()
		_ = listener.Close()
		work.Wait()
		_ = os.RemoveAll(k.dir)
	}
}

// close forgets the key. A nil key has nothing to forget.
func (k *key) close() {
	if k != nil {
		k.stop()
	}
}

func (k *key) note(line string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.said = append(k.said, line)
}

// refusals is what the agent has said, as the end of a sentence.
func (k *key) refusals() string {
	if k == nil {
		return ""
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.said) == 0 {
		return ""
	}
	return " " + strings.Join(k.said, " ")
}

// keyFor returns what git needs of a job's key for r; nil where r is not
// reached over SSH. Nobody is asked whose host key is not pinned.
func (s *Source) keyFor(ctx context.Context, r remote, access *ci.SSHAccess) (*key, error) {
	if r.scheme != "ssh" {
		return nil, nil
	}
	if access == nil {
		return nil, ci.Errorf(ci.CodeInvalid, "%s is reached over SSH, and the job names no SSH key; name one in its git.sshKey (`ci ssh-key create` makes one)", r.raw)
	}
	if !sshkey.Knows(access.Hosts, r.host, r.port) {
		host := sshkey.HostName(r.host, r.port)
		return nil, ci.Errorf(ci.CodeInvalid, "%s is not among the hosts of SSH key %s; pin its host key with `ci ssh-key hosts scan %s %s`", host, access.Name, access.Name, host)
	}
	return s.unlock(ctx, access)
}

// options are ssh's, as name=value.
func (k *key) options() []string {
	return []string{
		"UserKnownHostsFile=" + k.hosts(), "GlobalKnownHostsFile=/dev/null",
		"IdentityFile=none", "IdentityAgent=" + k.socket(), "PreferredAuthentications=publickey",
	}
}

// alias is the name that a host is known by.
func alias(r remote) string {
	name, err := sshkey.NormalHost(fmt.Sprintf("[%s]:%d", r.host, r.port))
	if err != nil {
		return r.host
	}
	return name
}
