package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"ci/pkg/ci"
)

// The columns of webhooks; the list leaves out the body, which is the last.
const (
	webhookListFields = "seq, forge, id, event, action, repository, digest, received_at, settled_at, tries, next_at, note, runs, trace"
	webhookFields     = webhookListFields + ", body"
)

func webhookListPlaces(w *ci.Webhook) []any {
	return []any{
		&w.Seq, &w.Forge, &w.ID, &w.Event, &w.Action, &w.Repository, &w.Digest,
		stamp{&w.ReceivedAt},
		stamp{&w.SettledAt},
		&w.Tries,
		stamp{&w.NextAt},
		&w.Note,
		document{&w.Runs},
		document{&w.Trace},
	}
}

func webhookPlaces(w *ci.Webhook) []any { return append(webhookListPlaces(w), &w.Body) }

// AddWebhook records a delivery and sets its Seq. It says whether it is new:
// one with the same ID, or the same Digest, changes nothing.
func (tx *Tx) AddWebhook(ctx context.Context, w *ci.Webhook) (fresh bool, err error) {
	places := webhookPlaces(w)[1:]
	seq, err := one(ctx, tx.s, idPlaces, insertText("webhooks", webhookFields[len("seq, "):], len(places))+" ON CONFLICT DO NOTHING RETURNING seq", values(places)...)
	if err != nil || seq == nil {
		return false, err
	}
	w.Seq = *seq
	return true, nil
}

// HoldWebhooks gives holder up to n deliveries that are due and that nobody
// holds, in the order in which they came, until a moment.
func (tx *Tx) HoldWebhooks(ctx context.Context, holder string, n int, until, now time.Time) ([]ci.Webhook, error) {
	at := micros(now)
	list, err := many(ctx, tx.s, webhookPlaces, "UPDATE webhooks SET holder = ?, held_until = ?, tries = tries + 1 WHERE seq IN ("+
		"SELECT seq FROM webhooks WHERE settled_at IS NULL AND held_until <= ? AND next_at <= ? ORDER BY seq LIMIT ?"+
		") AND settled_at IS NULL AND held_until <= ? RETURNING "+webhookFields, holder, micros(until), at, at, n, at)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b ci.Webhook) int { return cmp.Compare(a.Seq, b.Seq) })
	return list, nil
}

// DueWebhooks says whether a delivery is due that nobody holds.
func (r reader) DueWebhooks(ctx context.Context, now time.Time) (bool, error) {
	at := micros(now)
	seq, err := one(ctx, r.s, idPlaces, "SELECT seq FROM webhooks WHERE settled_at IS NULL AND held_until <= ? AND next_at <= ? LIMIT 1", at, at)
	return seq != nil, err
}

// KeepWebhooks prolongs what holder holds.
func (tx *Tx) KeepWebhooks(ctx context.Context, holder string, until, now time.Time) error {
	_, err := tx.s.exec(ctx, "UPDATE webhooks SET held_until = ? WHERE settled_at IS NULL AND holder = ? AND held_until > ?", micros(until), holder, micros(now))
	return err
}

// SettleWebhook notes that a delivery was acted on, and what came of it, and
// drops its body. One that holder does not hold any more is ci.CodeConflict.
func (tx *Tx) SettleWebhook(ctx context.Context, seq int64, holder, note string, runs []ci.RunRef, at time.Time) error {
	n, err := tx.s.exec(ctx, "UPDATE webhooks SET settled_at = ?, note = ?, runs = ?, body = NULL, holder = '', held_until = 0 WHERE seq = ? AND holder = ? AND settled_at IS NULL",
		micros(at), note, value(document{&runs}), seq, holder)
	return unheld(seq, n, err)
}

// DeferWebhook gives a delivery back until a moment, with the reason.
func (tx *Tx) DeferWebhook(ctx context.Context, seq int64, holder, note string, next time.Time) error {
	n, err := tx.s.exec(ctx, "UPDATE webhooks SET note = ?, next_at = ?, holder = '', held_until = 0 WHERE seq = ? AND holder = ? AND settled_at IS NULL", note, micros(next), seq, holder)
	return unheld(seq, n, err)
}

func unheld(seq, changed int64, err error) error {
	if err == nil && changed == 0 {
		return ci.Errorf(ci.CodeConflict, "webhook %d is settled, or is in other hands", seq)
	}
	return err
}

// ListWebhooks returns up to limit deliveries, newest first, without their
// bodies. forge "" is all; before is the page's upper end, exclusive, 0 begins
// at the newest.
func (r reader) ListWebhooks(ctx context.Context, forge string, before int64, limit int) ([]ci.Webhook, error) {
	text, args := "SELECT "+webhookListFields+" FROM webhooks WHERE seq > 0", []any{}
	if forge != "" {
		text, args = text+" AND forge = ?", append(args, forge)
	}
	if before > 0 {
		text, args = text+" AND seq < ?", append(args, before)
	}
	return many(ctx, r.s, webhookListPlaces, text+" ORDER BY seq DESC LIMIT ?", append(args, limit)...)
}

// KnownWebhooks returns those of ids that were recorded.
func (r reader) KnownWebhooks(ctx context.Context, forge string, ids []string) (map[string]bool, error) {
	known := map[string]bool{}
	if len(ids) == 0 {
		return known, nil
	}
	list, err := listed(ctx, r.s, textPlaces, r.d.format("SELECT id FROM webhooks WHERE forge = ? AND id IN (?)", forge, bun.List(ids)))
	for _, id := range list {
		known[id] = true
	}
	return known, err
}

// PruneWebhooks forgets the settled deliveries that came before a moment.
func (tx *Tx) PruneWebhooks(ctx context.Context, before time.Time) error {
	_, err := tx.s.exec(ctx, "DELETE FROM webhooks WHERE received_at < ? AND settled_at IS NOT NULL", micros(before))
	return err
}
