package sealed

import (
	"context"

	"ci/backend/secret/seal"
	"ci/backend/store"
	"ci/pkg/ci"
	"ci/pkg/sshkey"
)

const kindSSHKey = "ssh-key"

// SSHKeys makes key pairs and keeps them in the database, their private keys
// sealed: nobody but the runs that a key is for ever sees one.
type SSHKeys struct {
	db  *store.Store
	box *seal.Box
}

// NewSSHKeys makes an SSHKeys; box seals and opens its private keys.
func NewSSHKeys(db *store.Store, box *seal.Box) *SSHKeys { return &SSHKeys{db, box} }

// Put makes a key pair for hosts, or replaces the hosts of the one that there
// is; the pair stays. ifVersion is as in store.PutSSHKey.
func (s *SSHKeys) Put(ctx context.Context, name string, hosts []ci.HostKey, ifVersion int64) (key ci.SSHKey, created bool, err error) {
	pair, err := sshkey.NewPair(name)
	if err != nil {
		return key, false, ci.Errorf(ci.CodeInternal, "a key pair can't be made: %w", err)
	}
	sealed, err := s.box.Seal(pair.Private, kindSSHKey, name)
	if err != nil {
		return key, false, err
	}
	key = ci.SSHKey{Name: name, PublicKey: pair.Public, Fingerprint: pair.Fingerprint, Hosts: hosts}
	err = s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		put := key // the transaction may be tried again
		created, err = tx.PutSSHKey(ctx, &put, sealed, ifVersion)
		if err == nil {
			key = put
		}
		return err
	})
	return key, created, err
}

// Get returns a key pair without its private key, or ci.CodeNotFound.
func (s *SSHKeys) Get(ctx context.Context, name string) (*ci.SSHKey, error) {
	return s.db.GetSSHKey(ctx, name)
}

// List returns all key pairs by name, without their private keys.
func (s *SSHKeys) List(ctx context.Context) ([]ci.SSHKey, error) { return s.db.ListSSHKeys(ctx) }

// Delete removes a key pair for good: ci.CodeConflict when a job names it,
// ci.CodeNotFound when there is none.
func (s *SSHKeys) Delete(ctx context.Context, name string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSSHKey(ctx, name) })
}

// Access returns a key pair with its private key, or ci.CodeNotFound.
func (s *SSHKeys) Access(ctx context.Context, name string) (*ci.SSHAccess, error) {
	k, err := s.db.GetSealedSSHKey(ctx, name)
	if err != nil {
		return nil, err
	}
	private, err := s.box.Open(k.Sealed, kindSSHKey, name)
	if err != nil {
		return nil, err
	}
	return &ci.SSHAccess{Name: name, PrivateKey: private, Hosts: k.Hosts}, nil
}
