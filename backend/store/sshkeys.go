package store

import (
	"context"
	"strings"

	"ci/pkg/ci"
)

const sshKeyFields = "name, public_key, fingerprint, hosts, created_at, version"

func sshKeyPlaces(k *ci.SSHKey) []any {
	return []any{&k.Name, &k.PublicKey, &k.Fingerprint, document{&k.Hosts}, stamp{&k.CreatedAt}, &k.Version}
}

// SealedSSHKey is a key pair as it is stored.
type SealedSSHKey struct {
	ci.SSHKey
	Sealed []byte
}

func sealedSSHKeyPlaces(k *SealedSSHKey) []any { return append(sshKeyPlaces(&k.SSHKey), &k.Sealed) }

// maxSSHKeys is how many key pairs there may be: a list has no pages.
const maxSSHKeys = 1000

// PutSSHKey records a new key pair with its sealed private key, or replaces
// the hosts of the one that has the name; then the pair stays, and k becomes
// what is stored. ifVersion is as in PutJob.
func (tx *Tx) PutSSHKey(ctx context.Context, k *ci.SSHKey, sealed []byte, ifVersion int64) (created bool, err error) {
	if ifVersion <= 0 {
		made := *k
		made.Version, made.CreatedAt = 1, tx.now()
		n, err := tx.s.exec(ctx, insertText("ssh_keys", sshKeyFields+", sealed", 7)+" ON CONFLICT (name) DO NOTHING", append(values(sshKeyPlaces(&made)), sealed)...)
		if err != nil {
			return false, err
		}
		if n == 1 {
			*k = made
			return true, tx.limitSSHKeys(ctx)
		}
		if ifVersion < 0 {
			return false, ci.Errorf(ci.CodeStale, "there is an SSH key %q already", k.Name)
		}
	}
	text, args := "UPDATE ssh_keys SET hosts = ?, version = version + 1 WHERE name = ?", append(values([]any{document{&k.Hosts}}), k.Name)
	if ifVersion > 0 {
		text += " AND version = ?"
		args = append(args, ifVersion)
	}
	stored, err := one(ctx, tx.s, sshKeyPlaces, text+" RETURNING "+sshKeyFields, args...)
	if err != nil {
		return false, err
	}
	if stored == nil {
		return false, ci.Errorf(ci.CodeStale, "SSH key %q is not at version %d any more: somebody changed or deleted it; read it again", k.Name, ifVersion)
	}
	*k = *stored
	return false, nil
}

func (tx *Tx) limitSSHKeys(ctx context.Context) error {
	n, err := one(ctx, tx.s, idPlaces, "SELECT COUNT(*) FROM ssh_keys")
	if err == nil && *n > maxSSHKeys {
		return ci.Errorf(ci.CodeConflict, "there are %d SSH keys, which is the most that there may be; delete one first", maxSSHKeys)
	}
	return err
}

// GetSSHKey returns a key pair without its private key, or ci.CodeNotFound.
func (r reader) GetSSHKey(ctx context.Context, name string) (*ci.SSHKey, error) {
	k, err := one(ctx, r.s, sshKeyPlaces, "SELECT "+sshKeyFields+" FROM ssh_keys WHERE name = ?", name)
	return k, noSSHKey(name, k == nil, err)
}

// GetSealedSSHKey returns a key pair with its sealed private key, or ci.CodeNotFound.
func (r reader) GetSealedSSHKey(ctx context.Context, name string) (*SealedSSHKey, error) {
	k, err := one(ctx, r.s, sealedSSHKeyPlaces, "SELECT "+sshKeyFields+", sealed FROM ssh_keys WHERE name = ?", name)
	return k, noSSHKey(name, k == nil, err)
}

func noSSHKey(name string, missing bool, err error) error {
	if err == nil && missing {
		return ci.Errorf(ci.CodeNotFound, "there is no SSH key %q", name)
	}
	return err
}

// ListSSHKeys returns all key pairs by name, without their private keys.
func (r reader) ListSSHKeys(ctx context.Context) ([]ci.SSHKey, error) {
	return many(ctx, r.s, sshKeyPlaces, "SELECT "+sshKeyFields+" FROM ssh_keys ORDER BY name")
}

// DeleteSSHKey removes a key pair for good. One that a job names is
// ci.CodeConflict, one that is not there ci.CodeNotFound.
func (tx *Tx) DeleteSSHKey(ctx context.Context, name string) error {
	users, err := tx.jobsWithSSHKey(ctx, name)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return ci.Errorf(ci.CodeConflict, "SSH key %q is used by %s; give them another key first", name, strings.Join(users, ", "))
	}
	n, err := tx.s.exec(ctx, "DELETE FROM ssh_keys WHERE name = ?", name)
	return noSSHKey(name, n == 0, err)
}

// jobsWithSSHKey are the names of the first few jobs that name a key.
func (tx *Tx) jobsWithSSHKey(ctx context.Context, name string) ([]string, error) {
	// '_' in a name matches any character, so the rows are looked at again.
	jobs, err := many(ctx, tx.s, jobPlaces, "SELECT "+jobFields+" FROM jobs WHERE git LIKE ? ORDER BY name", `%"SSHKey":"`+name+`"%`)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, j := range jobs {
		if j.Git == nil || j.Git.SSHKey != name {
			continue
		}
		if len(users) == 5 {
			return append(users, "…"), nil
		}
		users = append(users, "job "+j.Name)
	}
	return users, nil
}
