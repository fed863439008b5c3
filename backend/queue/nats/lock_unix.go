//go:build unix

package nats

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ci/pkg/ci"
)

// folderLock keeps a second server out of a folder; two would destroy each
// other's files. The kernel drops it when the process ends.
type folderLock struct{ file *os.File }

func lockFolder(dir string) (*folderLock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the queue's folder %s can't be written: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, ci.Errorf(ci.CodeConflict, "the queue's folder %s is in use by another process; give each its own folder, or all of them one NATS server: %w", dir, err)
	}
	return &folderLock{f}, nil
}

func (l *folderLock) release() { _ = l.file.Close() }
