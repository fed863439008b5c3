//go:build unix

package file

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

var errNotFolder = unix.ENOTDIR

// hold marks a temporary file as being written. It fails when another process
// holds it. The kernel lets go when the file is closed.
func hold(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// missing says that no such file can exist.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// isFolder says that a file stands where a folder is needed, or the reverse.
func isFolder(err error) bool {
	return errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EISDIR) ||
		errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST)
}
