package sealed

import (
	"context"

	"ci/backend/secret/seal"
	"ci/backend/store"
)

// Renew seals every value of the database again that is not sealed with the
// newest key. It returns how many it has sealed again, and how many there are.
// One that does not open stops it; those before it are done, and calling it
// again goes on. Other processes may read and write meanwhile.
func Renew(ctx context.Context, db *store.Store, box *seal.Box) (renewed, all int, err error) {
	rows, err := db.SealedRows(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, row := range rows {
		done, err := renew(ctx, db, box, row)
		if err != nil {
			return renewed, len(rows), err
		}
		if done {
			renewed++
		}
	}
	return renewed, len(rows), nil
}

func renew(ctx context.Context, db *store.Store, box *seal.Box, row store.SealedRow) (done bool, err error) {
	if fresh, err := box.Fresh(row.Sealed); fresh || err != nil {
		return false, err
	}
	plain, err := box.Open(row.Sealed, row.About()...)
	if err != nil {
		return false, err
	}
	again, err := box.Seal(plain, row.About()...)
	if err != nil {
		return false, err
	}
	err = db.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		done, err = tx.Reseal(ctx, row, again)
		return err
	})
	return done, err
}

// Check returns nil when the first value of each kind opens, or there is none:
// the box has the keys that this database needs.
func Check(ctx context.Context, db *store.Store, box *seal.Box) error {
	rows, err := db.SealedRows(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, row := range rows {
		if about := row.About(); !seen[about[0]] {
			seen[about[0]] = true
			if _, err := box.Open(row.Sealed, about...); err != nil {
				return err
			}
		}
	}
	return nil
}

// Any says whether the database holds a sealed value.
func Any(ctx context.Context, db *store.Store) (bool, error) {
	rows, err := db.SealedRows(ctx)
	return len(rows) > 0, err
}
