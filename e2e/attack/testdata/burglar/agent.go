package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// askAgent opens a connection to the run's SSH agent.
func askAgent() (agent.ExtendedAgent, error) {
	conn, err := net.DialTimeout("unix", os.Getenv("SSH_AUTH_SOCK"), patience)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return agent.NewClient(conn), nil
}

// mustAgent is for attacks that prove nothing without an agent to attack.
func mustAgent() agent.ExtendedAgent {
	a, err := askAgent()
	if err != nil {
		fmt.Println("BREACH: the agent answers nobody, so nothing is tried:", err)
		os.Exit(2)
	}
	return a
}

// onlyKey is the agent's one key, called $OWN. Others are a breach.
func onlyKey(a agent.Agent) *agent.Key {
	keys, err := a.List()
	if err != nil || len(keys) != 1 || keys[0].Comment != "ci:"+os.Getenv("OWN") {
		fmt.Println("BREACH: the agent lists", keys, err)
		os.Exit(2)
	}
	fmt.Println("held: one key,", keys[0].Comment)
	return keys[0]
}

// agentHarm does to the agent what its owner could: emptying, locking, filling.
func agentHarm() {
	a := mustAgent()
	key := onlyKey(a)
	_, foreign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	refused("ssh-add -D", a.RemoveAll())
	refused("ssh-add -d", a.Remove(key))
	refused("ssh-add -x", a.Lock([]byte("mine")))
	refused("ssh-add -X", a.Unlock([]byte("mine")))
	refused("a key of one's own", a.Add(agent.AddedKey{PrivateKey: foreign}))
	refused("a key with constraints", a.Add(agent.AddedKey{PrivateKey: foreign, LifetimeSecs: 1, ConfirmBeforeUse: true}))
	_, err = a.Extension("query", nil)
	refused("an extension", err)
	for _, junk := range [][]byte{{0xff, 0xff, 0xff, 0xff, 13}, {0, 0, 0, 0}, bytes.Repeat([]byte{0}, 1<<20), {0, 0, 0, 1, 255}} {
		conn, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = conn.Write(junk)
			_ = conn.Close()
		}
	}
	onlyKey(mustAgent())
}

// agentSign asks for signatures that log in nowhere, or at a server which
// proves nothing: a text, a log-in without a server, with a server's forged
// proof, with a proof by a key that is not pinned, for a forwarded agent.
func agentSign() {
	key := onlyKey(mustAgent())
	session := bytes.Repeat([]byte{7}, 32)
	login := ssh.Marshal(struct {
		Session               []byte
		Type                  byte
		User, Service, Method string
		Signed                bool
		Algorithm             string
		Key                   []byte
	}{session, 50, "root", "ssh-connection", "publickey", true, key.Type(), key.Marshal()})
	text := ssh.Marshal(struct{ Magic, Namespace, Reserved, Hash, Sum string }{"SSHSIG", "git", "", "sha512", "x"})

	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	own, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic(err)
	}
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(os.Getenv("PINNED")))
	if err != nil {
		fmt.Println("BREACH: PINNED is no host key:", err)
		return
	}
	proof, err := own.Sign(rand.Reader, session)
	if err != nil {
		panic(err)
	}
	bind := func(host ssh.PublicKey, forwarding bool) []byte {
		return ssh.Marshal(struct {
			Key, Session, Signature []byte
			Forwarding              bool
		}{host.Marshal(), session, ssh.Marshal(proof), forwarding})
	}
	for what, try := range map[string]struct{ bind, data []byte }{
		"a text, as git signs commits":      {nil, text},
		"a text after a binding":            {bind(own.PublicKey(), false), text},
		"a log-in to nobody":                {nil, login},
		"a log-in to a server of one's own": {bind(own.PublicKey(), false), login},
		"a log-in with a forged proof":      {bind(pinned, false), login},
		"a log-in of a forwarded agent":     {bind(own.PublicKey(), true), login},
	} {
		a := mustAgent()
		if try.bind != nil {
			_, _ = a.Extension("session-bind@openssh.com", try.bind)
		}
		_, err := a.Sign(key, try.data)
		refused(what, err)
	}
}

// agentOther is another user of the container.
func agentOther() {
	again := exec.Command("/proc/self/exe", "agent-call")
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1235}}
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	if err := again.Run(); err != nil {
		fmt.Println("BREACH: the other user could not try:", err)
	}
}

// agentCall only wants an answer.
func agentCall() {
	a, err := askAgent()
	if err == nil {
		_, err = a.List()
	}
	refused("an answer of the agent", err)
}
