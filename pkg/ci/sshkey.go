package ci

import "time"

// SSHKey is a key pair of the backend, and where it may be used. The private
// key is never shown.
type SSHKey struct {
	Name string
	// PublicKey is a line for authorized_keys, Fingerprint its "SHA256:…".
	PublicKey   string
	Fingerprint string
	// Hosts are the servers that the key is used for, each with the host keys
	// that are believed. A server that is not here is never asked.
	Hosts     []HostKey
	CreatedAt time.Time
	// Version grows with each change of Hosts.
	Version int64
}

// HostKey is one key by which a server is known.
type HostKey struct {
	// Host is as in known_hosts: "git.example.com", or "[git.example.com]:2222".
	Host string `json:"host"`
	// Key is its type and base64, "ssh-ed25519 AAAA…".
	Key string `json:"key"`
	// Fingerprint is the key's "SHA256:…"; derived from Key.
	Fingerprint string `json:"fingerprint"`
}

// SSHAccess is a key pair in use. It is kept in memory only.
type SSHAccess struct {
	Name string
	// PrivateKey is in OpenSSH's PEM format.
	PrivateKey []byte
	Hosts      []HostKey
}
