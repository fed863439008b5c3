package store

import (
	"context"
	"time"
)

// TakeLease gives the lease of that name to holder until a moment, and says
// whether it did: nobody has it, its time is over, or holder has it already.
func (tx *Tx) TakeLease(ctx context.Context, name, holder string, until, now time.Time) (bool, error) {
	n, err := tx.s.exec(ctx, "INSERT INTO leases (name, holder, lease_until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "+
		"holder = excluded.holder, lease_until = excluded.lease_until WHERE leases.holder = excluded.holder OR leases.lease_until <= ?",
		name, holder, micros(until), micros(now))
	return n == 1, err
}
