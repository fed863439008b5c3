package store

import (
	"context"
	"time"

	"ci/pkg/ci"
)

// Expire removes what is kept no longer from the database: a whole run, or its
// results or console, whose rows then say so. The objects, whose keys begin with prefix,
// go into the trash in the same transaction, so that nothing refers to an
// object that may be missing, and no object is forgotten. false says that there was nothing to
// do: it is gone already, or something keeps the run.
func (tx *Tx) Expire(ctx context.Context, what ci.Kept, run int64, prefix string, now time.Time) (bool, error) {
	// Who pins a run holds its row; so a pin is there before this, or the run is not for the pin.
	id, err := one(ctx, tx.s, idPlaces, "SELECT id FROM runs WHERE id = ? AND status = 'done'"+tx.d.exclude, run)
	if err != nil || id == nil {
		return false, err
	}
	at := micros(now)
	kept, err := one(ctx, tx.s, textPlaces, "SELECT "+keptBy+" FROM runs WHERE id = ?", at, at, run)
	if err != nil || kept == nil || *kept != "" {
		return false, err
	}
	done, err := tx.expire(ctx, what, run, now)
	if err != nil || !done {
		return false, err
	}
	_, err = tx.s.exec(ctx, "INSERT INTO trash (prefix, since) VALUES (?, ?) ON CONFLICT (prefix) DO NOTHING", prefix, at)
	return err == nil, err
}

func (tx *Tx) expire(ctx context.Context, what ci.Kept, run int64, now time.Time) (bool, error) {
	var n int64
	var err error
	switch what {
	case ci.KeptRun:
		return true, tx.DeleteRun(ctx, run)
	case ci.KeptResults:
		n, err = tx.s.exec(ctx, "UPDATE runs SET results_expired_at = ?, stored_bytes = stored_bytes - result_bytes WHERE id = ? AND results_expired_at IS NULL", micros(now), run)
		if err == nil && n > 0 {
			_, err = tx.s.exec(ctx, "UPDATE results SET expired_at = ? WHERE run = ?", micros(now), run)
		}
	case ci.KeptConsole:
		n, err = tx.s.exec(ctx, "UPDATE runs SET console_expired_at = ?, stored_bytes = stored_bytes - console_bytes WHERE id = ? AND console_expired_at IS NULL", micros(now), run)
		if err == nil && n > 0 {
			_, err = tx.s.exec(ctx, "DELETE FROM chunks WHERE run = ?", run)
		}
	default:
		return false, ci.Errorf(ci.CodeInternal, "store: there is no kind %q to expire", what)
	}
	return err == nil && n > 0, err
}

// Trash returns up to limit beginnings of keys whose objects are to be removed, in their order, behind after.
func (r reader) Trash(ctx context.Context, after string, limit int) ([]string, error) {
	return many(ctx, r.s, textPlaces, "SELECT prefix FROM trash WHERE prefix > ? ORDER BY prefix LIMIT ?", after, limit)
}

// Emptied notes that no objects are left whose keys begin so.
func (tx *Tx) Emptied(ctx context.Context, prefix string) error {
	_, err := tx.s.exec(ctx, "DELETE FROM trash WHERE prefix = ?", prefix)
	return err
}

// counting is what FinishRun sets beside the end, of the run's console_bytes as the argument says.
const counting = "result_count = (SELECT COUNT(*) FROM results WHERE results.run = runs.id), " +
	"result_bytes = (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM results WHERE results.run = runs.id), " +
	"stored_bytes = ? + (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM results WHERE results.run = runs.id)"

// CountStored counts what up to limit done runs have stored, of which that is
// not known yet: they ended before it was counted, or by an older program. It
// returns how many it counted.
func (tx *Tx) CountStored(ctx context.Context, limit int) (int, error) {
	n, err := tx.s.exec(ctx, "UPDATE runs SET "+
		"result_count = (SELECT COUNT(*) FROM results WHERE results.run = runs.id), "+
		"result_bytes = (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM results WHERE results.run = runs.id), "+
		"stored_bytes = CASE WHEN console_expired_at IS NULL THEN console_bytes ELSE 0 END + "+
		"CASE WHEN results_expired_at IS NULL THEN (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM results WHERE results.run = runs.id) ELSE 0 END "+
		"WHERE id IN (SELECT id FROM runs WHERE status = 'done' AND stored_bytes IS NULL ORDER BY id LIMIT ?)", limit)
	return int(n), err
}
