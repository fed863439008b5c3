package backend

import (
	"context"
	"errors"
	"log/slog"

	"ci/backend/engine"
	"ci/backend/secret"
	"ci/backend/secret/seal"
	"ci/backend/secret/sealed"
	"ci/backend/secret/vault"
	"ci/backend/store"
	"ci/pkg/ci"
)

// SecretsConfig says where what is confidential lies, and what opens it.
type SecretsConfig struct {
	// Key is the file with the key that seals values in the database. "" is
	// for agents alone: they open nothing that is sealed.
	Key string
	// Make makes the file when it is missing and nothing is sealed yet.
	Make bool
	// Vault is where jobs' secrets lie instead of the database, if it has an
	// Address. Registry accounts and SSH keys stay in the database.
	Vault vault.Config
}

// Secrets is what is confidential, opened. A field is nil when there is no key for it.
type Secrets struct {
	Box        *seal.Box
	Store      secret.Store
	Registries *sealed.Registries
	SSHKeys    *sealed.SSHKeys
	Forges     *sealed.Forges

	vault *vault.Vault
}

// Close lets go of Vault. Calling it again does nothing.
func (s *Secrets) Close() error {
	if s == nil || s.vault == nil {
		return nil
	}
	return s.vault.Close()
}

// OpenSecrets opens what c names. Close it after everything that uses it.
func OpenSecrets(ctx context.Context, c SecretsConfig, db *store.Store, log *slog.Logger) (*Secrets, error) {
	s := &Secrets{}
	if c.Key != "" {
		if err := s.openSealed(ctx, c, db, log); err != nil {
			return nil, err
		}
	}
	if c.Vault.Address == "" {
		return s, nil
	}
	c.Vault.Log = log
	var err error
	if s.vault, err = vault.Open(c.Vault); err != nil {
		return nil, err
	}
	s.Store = s.vault
	if err := s.vault.Check(ctx); err != nil {
		log.Warn("Vault does not let us in yet; runs that need secrets wait", "err", err)
	}
	return s, nil
}

// openSealed opens what lies in the database.
func (s *Secrets) openSealed(ctx context.Context, c SecretsConfig, db *store.Store, log *slog.Logger) (err error) {
	if s.Box, err = openBox(ctx, c, db); err != nil {
		return err
	}
	if err := sealed.Check(ctx, db, s.Box); err != nil {
		// Not the end: without secrets everything else still works, and they can be set again.
		log.Error("the secret key does not fit the database; runs that need secrets will end as error", "key", c.Key, "err", err)
	}
	s.Store, s.Registries = sealed.New(db, s.Box), sealed.NewRegistries(db, s.Box)
	s.SSHKeys, s.Forges = sealed.NewSSHKeys(db, s.Box), sealed.NewForges(db, s.Box)
	return nil
}

// openBox never makes a new key beside values that were sealed with another:
// nobody would notice the loss until a run needs one.
func openBox(ctx context.Context, c SecretsConfig, db *store.Store) (*seal.Box, error) {
	box, err := seal.Open(c.Key)
	if ci.CodeOf(err) != ci.CodeNotFound || !c.Make {
		return box, err
	}
	if any, anyErr := sealed.Any(ctx, db); any || anyErr != nil {
		if anyErr != nil {
			return nil, anyErr
		}
		return nil, ci.Errorf(ci.CodeNotFound, "%s To give up what is sealed instead, and set every secret again, make a new key with `cid secret-key new`", err.Error()+".")
	}
	return seal.OpenOrMake(c.Key)
}

// Give hands the engine what is there. A part that is missing stays an
// interface that is nil.
func (s *Secrets) Give(c *engine.Config) {
	if s.Store != nil {
		c.Secrets = s.Store
	}
	if s.Registries != nil {
		c.Registries = s.Registries
	}
	if s.SSHKeys != nil {
		c.SSHKeys = s.SSHKeys
	}
}

// AddSecretKey puts a new key into the file, which seals nothing until RenewSecrets.
func AddSecretKey(path string) (id uint32, err error) { return seal.Add(path) }

// MakeSecretKey makes the file when there is none, whatever is sealed.
func MakeSecretKey(path string) error {
	_, err := seal.OpenOrMake(path)
	return err
}

// RenewSecrets makes the file's newest key the one that seals, and seals all
// of the database again with it; then, if forget, no other key stays.
func RenewSecrets(ctx context.Context, database, path string, forget bool, log *slog.Logger) (renewed, all int, err error) {
	if _, err := seal.Use(path); err != nil {
		return 0, 0, err
	}
	box, err := seal.Open(path)
	if err != nil {
		return 0, 0, err
	}
	db, err := store.Open(ctx, database, log)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if renewed, all, err = sealed.Renew(ctx, db, box); err != nil || !forget {
		return renewed, all, err
	}
	_, err = seal.Forget(path)
	return renewed, all, err
}
