package sealed

import (
	"context"

	"ci/backend/secret/seal"
	"ci/backend/store"
	"ci/pkg/ci"
)

// Registries keeps the accounts that agents pull images with, in the database
// whatever store the jobs' secrets are in.
type Registries struct {
	db  *store.Store
	box *seal.Box
}

// NewRegistries makes a Registries; box seals and opens its passwords.
func NewRegistries(db *store.Store, box *seal.Box) *Registries { return &Registries{db, box} }

// Put sets the account at a registry in the name of a token, and returns what is shown of it.
func (r *Registries) Put(ctx context.Context, a ci.RegistryAccess, by string) (ci.Registry, error) {
	made := ci.Registry{Host: a.Host, Username: a.Username, UpdatedBy: by}
	sealed, err := r.box.Seal([]byte(a.Password), kindRegistry, a.Host)
	if err != nil {
		return made, err
	}
	err = r.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.PutRegistry(ctx, &made, sealed) })
	return made, err
}

// List returns what is shown of all accounts, by host.
func (r *Registries) List(ctx context.Context) ([]ci.Registry, error) {
	return r.db.ListRegistries(ctx)
}

// Access returns all accounts with what opens them, by host.
func (r *Registries) Access(ctx context.Context) ([]ci.RegistryAccess, error) {
	rows, err := r.db.SealedRegistries(ctx)
	if err != nil {
		return nil, err
	}
	var list []ci.RegistryAccess
	for _, row := range rows {
		plain, err := r.box.Open(row.Sealed, kindRegistry, row.Host)
		if err != nil {
			return nil, err
		}
		list = append(list, ci.RegistryAccess{Host: row.Host, Username: row.Username, Password: string(plain)})
	}
	return list, nil
}

// Delete removes the account at a registry; ci.CodeNotFound when there is none.
func (r *Registries) Delete(ctx context.Context, host string) error {
	return r.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRegistry(ctx, host) })
}
