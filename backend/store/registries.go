package store

import (
	"context"

	"ci/pkg/ci"
)

const registryFields = "host, username, updated_at, updated_by"

func registryPlaces(r *ci.Registry) []any {
	return []any{&r.Host, &r.Username, stamp{&r.UpdatedAt}, &r.UpdatedBy}
}

// SealedRegistry is an account as it is stored.
type SealedRegistry struct {
	ci.Registry
	Sealed []byte
}

func sealedRegistryPlaces(r *SealedRegistry) []any {
	return append(registryPlaces(&r.Registry), &r.Sealed)
}

// maxRegistries is how many accounts there may be: agents get all of them for each run.
const maxRegistries = 100

// PutRegistry sets the account at r.Host, and fills in UpdatedAt.
func (tx *Tx) PutRegistry(ctx context.Context, r *ci.Registry, sealed []byte) error {
	n, err := one(ctx, tx.s, idPlaces, "SELECT COUNT(*) FROM registries WHERE host <> ?", r.Host)
	if err != nil {
		return err
	}
	if *n >= maxRegistries {
		return ci.Errorf(ci.CodeConflict, "there are accounts at %d registries, which is the most that there may be; delete one first", *n)
	}
	made := *r
	made.UpdatedAt = tx.now()
	_, err = tx.s.exec(ctx, "INSERT INTO registries ("+registryFields+", sealed) VALUES ("+marks(5)+") "+
		"ON CONFLICT (host) DO UPDATE SET username = excluded.username, updated_at = excluded.updated_at, updated_by = excluded.updated_by, sealed = excluded.sealed",
		append(values(registryPlaces(&made)), sealed)...)
	if err == nil {
		*r = made
	}
	return err
}

// ListRegistries returns all accounts by host.
func (r reader) ListRegistries(ctx context.Context) ([]ci.Registry, error) {
	return many(ctx, r.s, registryPlaces, "SELECT "+registryFields+" FROM registries ORDER BY host")
}

// SealedRegistries returns all accounts with their sealed passwords, by host.
func (r reader) SealedRegistries(ctx context.Context) ([]SealedRegistry, error) {
	return many(ctx, r.s, sealedRegistryPlaces, "SELECT "+registryFields+", sealed FROM registries ORDER BY host")
}

// DeleteRegistry removes the account at host, or says ci.CodeNotFound.
func (tx *Tx) DeleteRegistry(ctx context.Context, host string) error {
	n, err := tx.s.exec(ctx, "DELETE FROM registries WHERE host = ?", host)
	if err == nil && n == 0 {
		return ci.Errorf(ci.CodeNotFound, "there is no account at registry %q", host)
	}
	return err
}
