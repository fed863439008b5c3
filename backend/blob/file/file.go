// Package file stores objects as files in a folder of this machine:
// objects/<key> holds them, tmp/ what is still being written.
package file

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"ci/backend/blob"
	"ci/pkg/ci"
)

const (
	objects = "objects"
	tmp     = "tmp"
)

// Store implements blob.Store. It is safe for concurrent use, by several
// processes too.
type Store struct {
	dir     string
	root    *os.Root     // nothing outside the folder can be reached, whatever links are in it
	folders sync.RWMutex // held to write while folders are removed
	buffers sync.Pool
}

var _ blob.Store = (*Store)(nil)

// Open makes the folder where it is missing, and removes what was being
// written when an earlier process died.
func Open(dir string) (*Store, error) {
	if dir == "" {
		return nil, ci.Errorf(ci.CodeInvalid, "the object store needs a folder")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the object store's folder %s can't be made: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the object store's folder %s can't be opened: %w", dir, err)
	}
	s := &Store{dir: dir, root: root}
	s.buffers.New = func() any { return new([64 << 10]byte) }
	for _, sub := range []string{objects, tmp} {
		if err := root.MkdirAll(sub, 0o700); err != nil {
			_ = root.Close()
			return nil, s.failure("can't be written", err)
		}
	}
	if err := s.sweep(); err != nil {
		_ = root.Close()
		return nil, s.failure("can't be swept", err)
	}
	return s, nil
}

// Close gives the folder back. Readers that are open stay usable.
func (s *Store) Close() error { return s.root.Close() }

// Check writes and removes a small file.
func (s *Store) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name := path.Join(tmp, "check-"+rand.Text())
	err := s.root.WriteFile(name, []byte("ok"), 0o600)
	if err = errors.Join(err, s.root.Remove(name)); err != nil {
		return s.failure("can't be written", err)
	}
	return nil
}

// Get reads a range of an object. A range that begins at its end, or after, is empty.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := errors.Join(ctx.Err(), blob.CheckKey(key), blob.CheckRange(offset, length)); err != nil {
		return nil, err
	}
	f, err := s.root.Open(path.Join(objects, key))
	if err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
			err = fs.ErrNotExist // a folder: keys begin with this one, none is it
		}
		if err == nil && offset > 0 {
			_, err = f.Seek(offset, io.SeekStart)
		}
		if err == nil {
			return limit(f, length), nil
		}
		_ = f.Close()
	}
	if missing(err) {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no object %q", key)
	}
	return nil, s.failure("can't be read", err)
}

type limited struct {
	io.Reader
	io.Closer
}

func limit(f *os.File, length int64) io.ReadCloser {
	if length < 0 {
		return f
	}
	return limited{io.LimitReader(f, length), f}
}

// failure puts an error of the operating system into words.
func (s *Store) failure(what string, err error) error {
	if full(err) {
		return ci.Errorf(ci.CodeUnavailable, "the disk of the object store's folder %s is full; free some space, or shorten the retention: %w", s.dir, err)
	}
	return ci.Errorf(ci.CodeUnavailable, "the object store's folder %s %s: %w", s.dir, what, err)
}
