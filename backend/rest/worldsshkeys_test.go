package rest

import (
	"context"
	"maps"
	"slices"

	"ci/pkg/ci"
)

// fakeSSHKeys keeps key pairs in memory, without their private keys.
type fakeSSHKeys struct{ *world }

func (w fakeSSHKeys) Put(_ context.Context, name string, hosts []ci.HostKey, ifVersion int64) (ci.SSHKey, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, there := w.sshKeys[name]
	if ifVersion > 0 && k.Version != ifVersion {
		return k, false, ci.Errorf(ci.CodeStale, "SSH key %q is not at version %d", name, ifVersion)
	}
	if !there {
		k = ci.SSHKey{Name: name, PublicKey: "ssh-ed25519 AAAA ci:" + name, Fingerprint: "SHA256:x", CreatedAt: w.Now()}
	}
	k.Hosts, k.Version = hosts, k.Version+1
	w.sshKeys[name] = k
	return k, !there, w.fail
}

func (w fakeSSHKeys) Get(_ context.Context, name string) (*ci.SSHKey, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, ok := w.sshKeys[name]
	if !ok {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no SSH key %q", name)
	}
	return &k, w.fail
}

func (w fakeSSHKeys) List(context.Context) ([]ci.SSHKey, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []ci.SSHKey
	for _, name := range slices.Sorted(maps.Keys(w.sshKeys)) {
		list = append(list, w.sshKeys[name])
	}
	return list, w.fail
}

func (w fakeSSHKeys) Delete(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.sshKeys[name]; !ok {
		return ci.Errorf(ci.CodeNotFound, "there is no SSH key %q", name)
	}
	for _, j := range w.jobs {
		if j.Git != nil && j.Git.SSHKey == name {
			return ci.Errorf(ci.CodeConflict, "SSH key %q is used by job %s", name, j.Name)
		}
	}
	delete(w.sshKeys, name)
	return nil
}

// scanHost knows one server.
func (w *world) scanHost(_ context.Context, host string) ([]ci.HostKey, error) {
	if host != "git.example.com" {
		return nil, &ci.Error{Code: ci.CodeInvalid, Message: "the host can't be asked", Fields: []ci.Field{{Path: "host", Message: "is private"}}}
	}
	return []ci.HostKey{{Host: host, Key: hostKeyLine, Fingerprint: hostKeyPrint}}, nil
}
