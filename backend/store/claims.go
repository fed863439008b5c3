package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"ci/pkg/ci"
)

// HoldRun returns nil when the claim holds its run, and keeps it so until the
// transaction ends; else ci.CodeConflict.
func (tx *Tx) HoldRun(ctx context.Context, c ci.Claim) error {
	id, err := one(ctx, tx.s, idPlaces, "SELECT id FROM runs WHERE id = ? AND status = 'in_progress' AND agent = ? AND claim = ? AND agent <> ''"+tx.d.hold, c.Run, c.Agent, c.ID)
	if err != nil || id != nil {
		return err
	}
	there, err := tx.GetRun(ctx, "", c.Run)
	if err != nil {
		return err
	}
	return ci.Errorf(ci.CodeConflict, "run %d is not held by this claim: %s", c.Run, standing(there, &c))
}

// LockRun keeps everybody else from changing a run and from holding it, until
// the transaction ends; who held it has ended theirs by then.
func (tx *Tx) LockRun(ctx context.Context, id int64) error {
	_, err := one(ctx, tx.s, idPlaces, "SELECT id FROM runs WHERE id = ?"+tx.d.exclude, id)
	return err
}

// RenewRuns prolongs an agent's leases in one statement; none is made shorter.
// It returns a verdict for each claim, in their order.
func (tx *Tx) RenewRuns(ctx context.Context, agent string, claims []ci.Claim, leaseUntil time.Time) ([]ci.Verdict, error) {
	if len(claims) == 0 {
		return []ci.Verdict{}, nil
	}
	pairs := make([]string, len(claims))
	for i, c := range claims {
		pairs[i] = tx.d.format("(?, ?)", c.Run, c.ID)
	}
	until := leaseUntil.UnixMicro()
	text := tx.d.format("UPDATE runs SET lease_until = CASE WHEN lease_until > ? THEN lease_until ELSE ? END "+
		"WHERE status = 'in_progress' AND agent = ? AND agent <> '' AND (id, claim) IN (VALUES ?) "+
		"RETURNING id, claim, abort_requested_at", until, until, agent, bun.Safe(join(pairs)))
	held, err := listed(ctx, tx.s, heldPlaces, text)
	if err != nil {
		return nil, err
	}
	abort := make(map[heldBy]bool, len(held))
	for _, h := range held {
		abort[heldBy{h.run, h.claim}] = !h.abortRequestedAt.IsZero()
	}
	verdicts := make([]ci.Verdict, len(claims))
	for i, c := range claims {
		wanted, mine := abort[heldBy{c.Run, c.ID}]
		verdicts[i] = ci.Verdict{Run: c.Run, Abort: wanted, Gone: !mine}
	}
	return verdicts, nil
}

// heldBy names a run and the claim that holds it.
type heldBy struct {
	run   int64
	claim string
}

type heldRun struct {
	heldBy
	abortRequestedAt time.Time
}

func heldPlaces(h *heldRun) []any { return []any{&h.run, &h.claim, stamp{&h.abortRequestedAt}} }

// HeldRuns returns runs in progress that the agent has claimed, oldest first.
func (r reader) HeldRuns(ctx context.Context, agent string, limit int) ([]ci.Run, error) {
	return many(ctx, r.s, runPlaces, "SELECT "+runFields+" FROM runs WHERE status = 'in_progress' AND agent <> '' AND agent = ? ORDER BY id LIMIT ?", agent, limit)
}

// ClaimedBy returns the run in progress that a claim of the agent holds; nil when there is none.
func (r reader) ClaimedBy(ctx context.Context, agent, claim string) (*ci.Run, error) {
	return one(ctx, r.s, runPlaces, "SELECT "+runFields+" FROM runs WHERE status = 'in_progress' AND claim <> '' AND claim = ? AND agent = ?", claim, agent)
}

// ExpiredRuns returns claimed runs whose agent has not renewed its lease, the
// longest expired first.
func (r reader) ExpiredRuns(ctx context.Context, now time.Time, limit int) ([]ci.Run, error) {
	return many(ctx, r.s, runPlaces, "SELECT "+runFields+" FROM runs WHERE status = 'in_progress' AND agent <> '' AND lease_until < ? ORDER BY lease_until LIMIT ?", micros(now), limit)
}

// OverdueRuns returns claimed runs that are past their deadline, the most
// overdue first.
func (r reader) OverdueRuns(ctx context.Context, now time.Time, limit int) ([]ci.Run, error) {
	return many(ctx, r.s, runPlaces, "SELECT "+runFields+" FROM runs WHERE status = 'in_progress' AND agent <> '' AND deadline < ? ORDER BY deadline LIMIT ?", micros(now), limit)
}
