// Package sshkey is what both houses know of SSH: key pairs, the hosts that
// they may be used for, and an agent that keeps one of them in memory.
package sshkey

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"ci/pkg/ci"
)

// Pair is a new key pair.
type Pair struct {
	// Private is in OpenSSH's PEM format, without a passphrase.
	Private []byte
	// Public is a line for authorized_keys; its comment names the key.
	Public string
	// Fingerprint is the public key's "SHA256:…".
	Fingerprint string
}

// NewPair makes an Ed25519 key pair.
func NewPair(name string) (Pair, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	block, err := ssh.MarshalPrivateKey(private, "ci:"+name)
	if err != nil {
		return Pair{}, err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Private:     pem.EncodeToMemory(block),
		Public:      line(key) + " ci:" + name,
		Fingerprint: ssh.FingerprintSHA256(key),
	}, nil
}

// line is a key's type and base64.
func line(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// signer reads a private key in OpenSSH's PEM format.
func signer(access ci.SSHAccess) (ssh.Signer, error) {
	s, err := ssh.ParsePrivateKey(access.PrivateKey)
	if err != nil { // the library's error may hold parts of its input
		return nil, fmt.Errorf("the private key of %s can't be read", access.Name)
	}
	return s, nil
}
