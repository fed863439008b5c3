//go:build linux

package local

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ci/pkg/ci"
)

// maxSlots is how many job files one user carries out at once.
const maxSlots = 16

// slot is the right to be one of this user's agents. Its name is used again and
// again, so that what a killed ci has left in Docker is found by the next one.
// The lock on its file ends with the process, however that ends; the file holds
// something while there may be something in Docker.
type slot struct {
	file  *os.File
	agent string
}

// takeSlot takes the first free slot of a folder, and returns those too whose
// owners have died.
func takeSlot(dir string) (mine *slot, others []*slot, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	prefix, err := identity(filepath.Join(dir, "id"))
	if err != nil {
		return nil, nil, err
	}
	for i := range maxSlots {
		at := filepath.Join(dir, fmt.Sprintf("%d.lock", i))
		if _, err := os.Lstat(at); mine != nil && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		s, err := lock(at, fmt.Sprintf("%s-%d", prefix, i))
		switch {
		case err != nil:
			return mine, others, err
		case s == nil: // it is somebody's
		case mine == nil:
			mine = s
		case s.dirty():
			others = append(others, s)
		default:
			s.free()
		}
	}
	if mine == nil {
		return nil, nil, ci.Errorf(ci.CodeTooMany, "%d job files are carried out here already; wait for one of them", maxSlots)
	}
	return mine, others, nil
}

// lock returns nil when another process holds the file.
func lock(path, agent string) (*slot, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return &slot{file: f, agent: agent}, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = nil
	}
	return nil, errors.Join(err, f.Close())
}

// mark notes whether something of the slot may be in Docker.
func (s *slot) mark(dirty bool) error {
	if !dirty {
		return s.file.Truncate(0)
	}
	_, err := s.file.WriteAt([]byte("in use\n"), 0)
	return err
}

func (s *slot) dirty() bool {
	info, err := s.file.Stat()
	return err != nil || info.Size() > 0
}

// free gives the slot back. The lock is let go by name: a program that is just
// being started has our descriptors for a moment, and closing ours alone would
// leave it locked that long.
func (s *slot) free() {
	_ = unix.Flock(int(s.file.Fd()), unix.LOCK_UN)
	_ = s.file.Close()
}

// identity is this user's on this machine: engines may be shared.
func identity(path string) (string, error) {
	b, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(b)); err == nil && ci.ValidateName(id) == nil {
		return id, nil
	}
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	id := "exec-" + hex.EncodeToString(salt[:])
	return id, os.WriteFile(path, []byte(id+"\n"), 0o600)
}
