// Package sealed keeps secrets and registry accounts in the database, each
// value sealed with a key that is not there, and bound to its names.
package sealed

import (
	"context"

	"ci/backend/secret"
	"ci/backend/secret/seal"
	"ci/backend/store"
	"ci/pkg/ci"
)

// Secrets is a secret.Store in the database.
type Secrets struct {
	db  *store.Store
	box *seal.Box
}

var _ secret.Store = (*Secrets)(nil)

// New makes a Secrets; box seals and opens its values.
func New(db *store.Store, box *seal.Box) *Secrets { return &Secrets{db, box} }

// The kinds that values are sealed about; backend/store knows them for changing keys.
const (
	kindSecret   = "secret"
	kindRegistry = "registry"
)

// Put implements secret.Store.
func (s *Secrets) Put(ctx context.Context, made ci.Secret, value string) (ci.Secret, error) {
	sealed, err := s.box.Seal([]byte(value), kindSecret, made.Job, made.Name)
	if err != nil {
		return made, err
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.PutSecret(ctx, &made, sealed) })
	return made, err
}

// List implements secret.Store.
func (s *Secrets) List(ctx context.Context, job string) ([]ci.Secret, error) {
	return s.db.ListSecrets(ctx, job)
}

// Missing implements secret.Store.
func (s *Secrets) Missing(ctx context.Context, job string, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	list, err := s.db.ListSecrets(ctx, job)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, l := range list {
		there[l.Name] = true
	}
	var missing []string
	for _, name := range names {
		if !there[name] {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// Values implements secret.Store.
func (s *Secrets) Values(ctx context.Context, job string, names []string) (map[string]string, error) {
	rows, err := s.db.SealedSecrets(ctx, job, names)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(rows))
	for _, r := range rows {
		plain, err := s.box.Open(r.Sealed, kindSecret, job, r.Name)
		if err != nil {
			return nil, err
		}
		values[r.Name] = string(plain)
	}
	return values, nil
}

// Delete implements secret.Store.
func (s *Secrets) Delete(ctx context.Context, job, name string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSecret(ctx, job, name) })
}

// Forget does nothing: the store deletes a job's secrets with the job, in one transaction.
func (s *Secrets) Forget(context.Context, string) error { return nil }
