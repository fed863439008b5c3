package store

import (
	"context"

	"github.com/uptrace/bun"

	"ci/pkg/ci"
)

const secretFields = "job, name, version, updated_at, updated_by"

func secretPlaces(s *ci.Secret) []any {
	return []any{&s.Job, &s.Name, &s.Version, stamp{&s.UpdatedAt}, &s.UpdatedBy}
}

// SealedSecret is a secret as it is stored.
type SealedSecret struct {
	ci.Secret
	Sealed []byte
}

func sealedSecretPlaces(s *SealedSecret) []any { return append(secretPlaces(&s.Secret), &s.Sealed) }

// PutSecret sets the sealed value of s.Job's secret s.Name, and fills in
// Version and UpdatedAt. A job that is not there is ci.CodeNotFound, one that
// has ci.MaxSecrets others ci.CodeConflict.
func (tx *Tx) PutSecret(ctx context.Context, s *ci.Secret, sealed []byte) error {
	if err := tx.holdJob(ctx, s.Job); err != nil {
		return err
	}
	n, err := one(ctx, tx.s, idPlaces, "SELECT COUNT(*) FROM secrets WHERE job = ? AND name <> ?", s.Job, s.Name)
	if err != nil {
		return err
	}
	if *n >= ci.MaxSecrets {
		return ci.Errorf(ci.CodeConflict, "job %q has %d secrets, which is the most that a job may have; delete one first", s.Job, *n)
	}
	stored, err := one(ctx, tx.s, secretPlaces, "INSERT INTO secrets ("+secretFields+", sealed) VALUES ("+marks(6)+") "+
		"ON CONFLICT (job, name) DO UPDATE SET version = secrets.version + 1, updated_at = excluded.updated_at, updated_by = excluded.updated_by, sealed = excluded.sealed "+
		"RETURNING "+secretFields, s.Job, s.Name, int64(1), micros(tx.now()), s.UpdatedBy, sealed)
	if err == nil {
		*s = *stored
	}
	return err
}

// holdJob returns nil when there is such a job, and keeps it so until the transaction ends.
func (tx *Tx) holdJob(ctx context.Context, name string) error {
	there, err := one(ctx, tx.s, textPlaces, "SELECT name FROM jobs WHERE name = ?"+tx.d.hold, name)
	if err == nil && there == nil {
		return ci.Errorf(ci.CodeNotFound, "there is no job %q", name)
	}
	return err
}

// ListSecrets returns a job's secrets by name; a job that is not there has none.
func (r reader) ListSecrets(ctx context.Context, job string) ([]ci.Secret, error) {
	return many(ctx, r.s, secretPlaces, "SELECT "+secretFields+" FROM secrets WHERE job = ? ORDER BY name", job)
}

// SealedSecrets returns those of a job's secrets that are named, by name. What is not there is left out.
func (r reader) SealedSecrets(ctx context.Context, job string, names []string) ([]SealedSecret, error) {
	if len(names) == 0 {
		return []SealedSecret{}, nil
	}
	return listed(ctx, r.s, sealedSecretPlaces, r.d.format("SELECT "+secretFields+", sealed FROM secrets WHERE job = ? AND name IN (?) ORDER BY name", job, bun.List(names)))
}

// DeleteSecret removes a secret, or says ci.CodeNotFound.
func (tx *Tx) DeleteSecret(ctx context.Context, job, name string) error {
	n, err := tx.s.exec(ctx, "DELETE FROM secrets WHERE job = ? AND name = ?", job, name)
	if err == nil && n == 0 {
		return ci.Errorf(ci.CodeNotFound, "job %q has no secret %q", job, name)
	}
	return err
}
