package journal

import (
	"context"
	"errors"
	"os"
	"syscall"

	"ci/pkg/ci"
)

// Own makes this process the only one that works on a journal in SQLite, until
// it ends in whatever way, and takes the leases of the one before. A journal in
// Postgres may be shared, and then it does nothing.
func (j *Journal) Own(ctx context.Context) error {
	if j.postgres || j.owned != nil {
		return nil
	}
	f, err := os.OpenFile(j.path+".owner", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return ci.Errorf(ci.CodeUnavailable, "the lock file of the database of pipelines can't be opened: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return ci.Errorf(ci.CodeConflict, "another process works on the pipelines in %s; stop it, or use Postgres for several", j.path)
		}
		return ci.Errorf(ci.CodeUnavailable, "the lock file of the database of pipelines can't be locked: %w", err)
	}
	j.owned = f
	_, err = j.exec(ctx, j.db, "UPDATE pipeline_runs SET lease = '', lease_until = 0, wake_at = 0 WHERE lease <> ''")
	return err
}
