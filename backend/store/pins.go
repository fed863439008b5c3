package store

import (
	"context"
	"time"

	"ci/pkg/ci"
)

func pinPlaces(p *ci.Pin) []any { return []any{&p.Name, &p.Reason, stamp{&p.Until}, &p.By} }

const pinFields = "name, reason, until_at, by_token"

// PutPin pins a run, in place of a pin of the same name, when may says that the
// one who has set that may lose it; a nil may says so of all. An unknown run is
// ci.CodeNotFound, one with too many pins ci.CodeTooMany.
func (tx *Tx) PutPin(ctx context.Context, job string, run int64, p ci.Pin, may func(by string) error, now time.Time) error {
	id, err := one(ctx, tx.s, idPlaces, "SELECT id FROM runs WHERE id = ? AND job = ?"+tx.d.hold, run, job)
	if err != nil {
		return err
	}
	if id == nil {
		return noRun(job, run)
	}
	if _, err := tx.s.exec(ctx, "DELETE FROM pins WHERE run = ? AND until_at <= ?", run, micros(now)); err != nil {
		return err
	}
	others, err := one(ctx, tx.s, idPlaces, "SELECT COUNT(*) FROM pins WHERE run = ? AND name <> ?", run, p.Name)
	if err != nil {
		return err
	}
	if *others >= ci.MaxPins {
		return ci.Errorf(ci.CodeTooMany, "run %d of job %q has %d pins already; take one away first", run, job, *others)
	}
	text := insertText("pins", "run, "+pinFields, 5) + " ON CONFLICT (run, name) DO UPDATE SET reason = excluded.reason, until_at = excluded.until_at, by_token = excluded.by_token"
	args := append([]any{run}, values(pinPlaces(&p))...)
	if may == nil {
		_, err = tx.s.exec(ctx, text, args...)
		return err
	}
	by, err := tx.pinnedBy(ctx, run, p.Name, may)
	if err != nil {
		return err
	}
	if by == nil {
		by = &p.By
	}
	n, err := tx.s.exec(ctx, text+" WHERE pins.by_token = ?", append(args, *by)...)
	if err == nil && n == 0 {
		return ci.Errorf(ci.CodeConflict, "somebody else has set the pin %q of run %d at this moment; look at it, and try again", p.Name, run)
	}
	return err
}

// DeletePin takes a pin of a run away, when may says that the one who has set it
// may lose it; a nil may says so of all. One that is not there is fine.
func (tx *Tx) DeletePin(ctx context.Context, run int64, name string, may func(by string) error) error {
	if may == nil {
		_, err := tx.s.exec(ctx, "DELETE FROM pins WHERE run = ? AND name = ?", run, name)
		return err
	}
	by, err := tx.pinnedBy(ctx, run, name, may)
	if err != nil || by == nil {
		return err
	}
	_, err = tx.s.exec(ctx, "DELETE FROM pins WHERE run = ? AND name = ? AND by_token = ?", run, name, *by)
	return err
}

// pinnedBy is who has set a pin, nil when it is not there, once may allows to lose it.
func (tx *Tx) pinnedBy(ctx context.Context, run int64, name string, may func(by string) error) (*string, error) {
	by, err := one(ctx, tx.s, textPlaces, "SELECT by_token FROM pins WHERE run = ? AND name = ?", run, name)
	if err != nil || by == nil {
		return nil, err
	}
	return by, may(*by)
}

// ListPins returns the pins of a run that hold, in the order of their names.
func (r reader) ListPins(ctx context.Context, run int64, now time.Time) ([]ci.Pin, error) {
	return many(ctx, r.s, pinPlaces, "SELECT "+pinFields+" FROM pins WHERE run = ? AND until_at > ? ORDER BY name", run, micros(now))
}

// PrunePins forgets pins that have ended, about limit at once, and returns how many
// they were; fewer than limit were all.
func (tx *Tx) PrunePins(ctx context.Context, now time.Time, limit int) (int64, error) {
	ended := micros(now.Add(time.Microsecond)) // one ends at its moment
	return tx.s.exec(ctx, pruneText("pins", "until_at"), ended, ended, limit-1)
}
