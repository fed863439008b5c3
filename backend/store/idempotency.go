package store

import (
	"context"
	"time"

	"ci/pkg/ci"
)

// IdempotentFor is how long an Idempotency-Key is taken. After that it may be
// used anew, whether PruneIdempotent has been there or not.
const IdempotentFor = 24 * time.Hour

// Idempotent records which run a job's Idempotency-Key has made. A key that is
// taken, or is being taken beside us, is ci.CodeConflict.
func (tx *Tx) Idempotent(ctx context.Context, job, key, bodyHash string, run int64, at time.Time) error {
	n, err := tx.s.exec(ctx, "INSERT INTO idempotency (job, name, body_hash, run, used_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (job, name) DO UPDATE SET "+
		"body_hash = excluded.body_hash, run = excluded.run, used_at = excluded.used_at WHERE idempotency.used_at < ?",
		job, key, bodyHash, run, micros(at), micros(at.Add(-IdempotentFor)))
	if err == nil && n == 0 {
		return ci.Errorf(ci.CodeConflict, "Idempotency-Key %q of job %q is taken already", key, job)
	}
	return err
}

// FindIdempotent returns the run that a job's key made, and the hash of the
// request that did. Keys that were used before notBefore count as not found.
func (r reader) FindIdempotent(ctx context.Context, job, key string, notBefore time.Time) (run int64, bodyHash string, found bool, err error) {
	type use struct {
		run  int64
		hash string
	}
	u, err := one(ctx, r.s, func(u *use) []any { return []any{&u.run, &u.hash} },
		"SELECT run, body_hash FROM idempotency WHERE job = ? AND name = ? AND used_at >= ?", job, key, micros(notBefore))
	if err != nil || u == nil {
		return 0, "", false, err
	}
	return u.run, u.hash, true, nil
}

// PruneIdempotent forgets keys that were used before a moment, the oldest first:
// about limit at once. It returns how many they were; fewer than limit were all.
func (tx *Tx) PruneIdempotent(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.s.exec(ctx, pruneText("idempotency", "used_at"), micros(before), micros(before), limit-1)
}

// pruneText deletes the rows whose moment in column lies before one, up to and with
// those of the moment at which a page ends.
func pruneText(table, column string) string {
	return "DELETE FROM " + table + " WHERE " + column + " < ? AND " + column + " <= " +
		"COALESCE((SELECT " + column + " FROM " + table + " WHERE " + column + " < ? ORDER BY " + column + " LIMIT 1 OFFSET ?), 9223372036854775807)"
}
