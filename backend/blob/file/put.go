package file

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"ci/backend/blob"
	"ci/pkg/ci"
)

// Put writes a temporary file, makes it and its name durable, and only then
// does the object appear, whole. When r fails its error is returned as it is.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}
	name := path.Join(tmp, rand.Text())
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return blob.Info{}, s.failure("can't be written", err)
	}
	defer func() { _ = f.Close() }()
	info, err := s.fill(ctx, f, r)
	if err == nil {
		err = s.publish(name, key)
	}
	if err != nil {
		_ = s.root.Remove(name) // what stays is removed by the next Open
		return blob.Info{}, err
	}
	return info, nil
}

// fill copies r into f and syncs it.
func (s *Store) fill(ctx context.Context, f *os.File, r io.Reader) (blob.Info, error) {
	if err := hold(f); err != nil {
		return blob.Info{}, s.failure("can't be locked", err)
	}
	buf := s.buffers.Get().(*[64 << 10]byte)
	defer s.buffers.Put(buf)
	sum := sha256.New()
	out := &sink{f: f}
	n, err := io.CopyBuffer(io.MultiWriter(out, sum), source{ctx, r}, buf[:])
	switch {
	case out.err != nil:
		return blob.Info{}, s.failure("can't be written", out.err)
	case err != nil:
		return blob.Info{}, err
	}
	if err := f.Sync(); err != nil {
		return blob.Info{}, s.failure("can't be written", err)
	}
	return blob.Info{Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// publish gives the temporary file its key. Another process may remove a
// folder just after it was made, so that is tried a few times.
func (s *Store) publish(name, key string) error {
	s.folders.RLock()
	defer s.folders.RUnlock()
	target := path.Join(objects, key)
	err := s.move(name, target)
	for range 10 {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		err = s.move(name, target)
	}
	if err == nil {
		err = s.syncFolder(path.Dir(target))
	}
	if err == nil {
		return nil
	}
	if isFolder(err) {
		return ci.Errorf(ci.CodeInvalid, "the object %q can't be stored beside the others: a key must not be the beginning of another one's path: %w", key, err)
	}
	return s.failure("can't be written", err)
}

func (s *Store) move(name, target string) error {
	if err := s.makeFolders(path.Dir(target)); err != nil {
		return err
	}
	return s.root.Rename(name, target)
}

// makeFolders makes what is missing on the way to dir. A new folder is durable
// once the one above it is synced.
func (s *Store) makeFolders(dir string) error {
	if info, err := s.root.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	above := path.Dir(dir)
	if above != "." {
		if err := s.makeFolders(above); err != nil {
			return err
		}
	}
	if err := s.root.Mkdir(dir, 0o700); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if info, err := s.root.Stat(dir); err == nil && !info.IsDir() {
			return errNotFolder
		}
		return nil
	}
	return s.syncFolder(above)
}

func (s *Store) syncFolder(dir string) error {
	f, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// sink remembers the disk's errors, so that they can be told from the reader's.
type sink struct {
	f   *os.File
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	s.err = err
	return n, err
}

// source ends with its context.
type source struct {
	ctx context.Context
	r   io.Reader
}

func (s source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
