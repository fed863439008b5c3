package rig

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk is a small file system of its own, in memory, that can be filled up.
type Disk struct{ Dir string }

// ErrNoDisk means that this process may not mount anything.
var ErrNoDisk = errors.New("a file system of its own can't be mounted here")

// NewDisk mounts one of size bytes at an empty folder.
func NewDisk(dir string, size int64) (*Disk, error) {
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	if errors.Is(err, unix.EPERM) {
		return nil, ErrNoDisk
	}
	return &Disk{Dir: dir}, err
}

// Fill takes all space that is left.
func (d *Disk) Fill() error {
	f, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, endless{})
	if closing := f.Close(); !errors.Is(err, unix.ENOSPC) {
		return errors.Join(fmt.Errorf("the disk at %s is not full: %w", d.Dir, err), closing)
	}
	return nil
}

// Free takes a Fill back.
func (d *Disk) Free() error { return os.Remove(d.filler()) }

func (d *Disk) filler() string { return filepath.Join(d.Dir, "filler") }

// ReadOnly makes it so, or writable again. Nobody may have a file open for writing.
func (d *Disk) ReadOnly(yes bool) error {
	flags := uintptr(unix.MS_REMOUNT)
	if yes {
		flags |= unix.MS_RDONLY
	}
	return unix.Mount("", d.Dir, "", flags, "")
}

// End unmounts it, with all that is in it.
func (d *Disk) End() error { return unix.Unmount(d.Dir, unix.MNT_DETACH) }

// endless reads as zeros.
type endless struct{}

// Read implements io.Reader.
func (endless) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
