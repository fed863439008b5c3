package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// TakeLease gives the lease of that name to holder until a moment, and says
// whether it did: nobody has it, its time is over, or holder has it already.
func (tx *Tx) TakeLease(ctx context.Context, name, holder string, until, now time.Time) (bool, error) {
	n, err := tx.s.exec(ctx, "INSERT INTO leases (name, holder, lease_until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "+
		"holder = excluded.holder, lease_until = excluded.lease_until WHERE leases.holder = excluded.holder OR leases.lease_until <= ?",
		name, holder, micros(until), micros(now))
	return n == 1, err
}

// lease is a row of leases.
type lease struct{ name, holder string }

func leasePlaces(l *lease) []any { return []any{&l.name, &l.holder} }

// LeaseHolders returns who holds which of the named leases at the moment now, by name.
func (r reader) LeaseHolders(ctx context.Context, names []string, now time.Time) (map[string]string, error) {
	if len(names) == 0 {
		return map[string]string{}, nil
	}
	leases, err := listed(ctx, r.s, leasePlaces, r.d.format("SELECT name, holder FROM leases WHERE lease_until > ? AND name IN (?)", now.UnixMicro(), bun.List(names)))
	if err != nil {
		return nil, err
	}
	holders := make(map[string]string, len(leases))
	for _, l := range leases {
		holders[l.name] = l.holder
	}
	return holders, nil
}
