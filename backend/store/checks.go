package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"ci/pkg/ci"
)

const checkFields = "id, run, origin, held, told, external, attempts, refusals"

func checkPlaces(c *ci.Check) []any {
	return []any{
		&c.ID, &c.Run,
		document{&c.Origin},
		document{&c.Held},
		(*string)(&c.Told), &c.External, &c.Attempts, &c.Refusals,
	}
}

// subject is what checks follow each other about: those of one name at one commit.
func subject(o *ci.Origin) string {
	return fmt.Sprintf("%s %s %s", o.Repo(), o.HeadSHA, o.Trigger)
}

// OpenCheck orders that a forge is told of a run, from now until its end. It is
// called in the transaction that makes the run. A check that is held and that
// nobody was told of yet is taken back by a newer one of its subject.
func (tx *Tx) OpenCheck(ctx context.Context, c ci.OpenCheck) error {
	if (c.Run == 0) == (c.Held == nil) {
		return ci.Errorf(ci.CodeInternal, "a check is of a run, or held: one of both")
	}
	about := subject(&c.Origin)
	if _, err := tx.s.exec(ctx, "DELETE FROM checks WHERE subject = ? AND run = 0 AND told = ''", about); err != nil {
		return err
	}
	_, err := tx.s.exec(ctx, insertText("checks", "run, forge, subject, origin, held, told, external, attempts, refusals, next_at, holder, held_until", 12),
		c.Run, c.Origin.Forge, about, value(document{&c.Origin}), value(document{&c.Held}), "", int64(0), int64(0), int64(0), int64(0), "", int64(0))
	return err
}

// checkState is ci.Run.CheckState in SQL, of the run r that belongs to a check.
// Held ones have no run, and those whose run was deleted have only their end to tell.
const checkState = "CASE WHEN r.id IS NULL OR r.status = 'done' THEN 'completed' WHEN r.phase IN ('planning', 'queued') THEN 'queued' ELSE 'in_progress' END"

// ClaimChecks gives checks that are due to holder until a moment, oldest first:
// those whose forge was told something else than what their runs are now. Of one
// subject the older is shown before the newer. Forges in skip are left out.
func (tx *Tx) ClaimChecks(ctx context.Context, holder string, limit int, skip []string, until, now time.Time) ([]ci.Check, error) {
	if len(skip) == 0 {
		skip = []string{""} // no forge is called so, and IN () is no SQL
	}
	due := "SELECT c.id FROM checks c LEFT JOIN runs r ON r.id = c.run WHERE c.next_at <= ? AND c.held_until <= ? AND c.forge NOT IN (?) " +
		"AND c.told <> " + checkState + " AND NOT EXISTS (SELECT 1 FROM checks o WHERE o.subject = c.subject AND o.id < c.id AND o.told = '') " +
		"ORDER BY c.id LIMIT ?"
	at := now.UnixMicro()
	text := tx.d.format("UPDATE checks SET holder = ?, held_until = ?, attempts = attempts + 1 WHERE held_until <= ? AND id IN ("+due+") RETURNING "+checkFields,
		holder, until.UnixMicro(), at, at, at, bun.List(skip), limit)
	list, err := listed(ctx, tx.s, checkPlaces, text)
	slices.SortFunc(list, func(a, b ci.Check) int { return int(a.ID - b.ID) }) // RETURNING has no order
	return list, err
}

// KeepCheck lets holder keep a check until a moment; false says that it is another's.
func (tx *Tx) KeepCheck(ctx context.Context, id int64, holder string, until time.Time) (bool, error) {
	n, err := tx.s.exec(ctx, "UPDATE checks SET held_until = ? WHERE id = ? AND holder = ?", until.UnixMicro(), id, holder)
	return n == 1, err
}

// CheckTold notes what a forge was told, and lets go of the check. When that
// was its end, the order is carried out and goes. Of a check that somebody else
// holds by now nothing is noted.
func (tx *Tx) CheckTold(ctx context.Context, n ci.CheckNews) error {
	if n.Told == ci.CheckCompleted {
		return tx.DropCheck(ctx, n.ID, n.Holder)
	}
	_, err := tx.s.exec(ctx, "UPDATE checks SET told = ?, external = ?, attempts = 0, refusals = 0, next_at = 0, holder = '', held_until = 0 WHERE id = ? AND holder = ?",
		string(n.Told), n.External, n.ID, n.Holder)
	return err
}

// PostponeCheck lets go of a check that could not be told, until a moment.
// refused says that the forge did answer, and will not have it.
func (tx *Tx) PostponeCheck(ctx context.Context, id int64, holder string, until time.Time, refused bool) error {
	more := int64(0)
	if refused {
		more = 1
	}
	_, err := tx.s.exec(ctx, "UPDATE checks SET next_at = ?, refusals = refusals + ?, holder = '', held_until = 0 WHERE id = ? AND holder = ?",
		until.UnixMicro(), more, id, holder)
	return err
}

// DropCheck ends an order, carried out or not.
func (tx *Tx) DropCheck(ctx context.Context, id int64, holder string) error {
	_, err := tx.s.exec(ctx, "DELETE FROM checks WHERE id = ? AND holder = ?", id, holder)
	return err
}

// OpenChecks counts the orders that are not carried out to their end.
func (r reader) OpenChecks(ctx context.Context) (int64, error) {
	n, err := one(ctx, r.s, idPlaces, "SELECT COUNT(*) FROM checks")
	if err != nil {
		return 0, err
	}
	return *n, nil
}

// DueChecks counts the orders whose forge was told something else than what
// their runs are now.
func (r reader) DueChecks(ctx context.Context) (int64, error) {
	n, err := one(ctx, r.s, idPlaces, "SELECT COUNT(*) FROM checks c LEFT JOIN runs r ON r.id = c.run WHERE c.told <> "+checkState)
	if err != nil {
		return 0, err
	}
	return *n, nil
}
