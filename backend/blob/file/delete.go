package file

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"path"
	"strings"

	"ci/backend/blob"
)

// Delete removes an object. Folders stay until DeletePrefix.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := errors.Join(ctx.Err(), blob.CheckKey(key)); err != nil {
		return err
	}
	name := path.Join(objects, key)
	info, err := s.root.Lstat(name)
	if err == nil && info.IsDir() {
		return nil // no object has this key
	}
	if err == nil {
		err = s.root.Remove(name)
	}
	if err != nil && !missing(err) {
		return s.failure("can't be written", err)
	}
	return nil
}

// DeletePrefix removes the folder, and those above it that it leaves empty. All
// its objects are gone at once; the disk's room follows.
func (s *Store) DeletePrefix(ctx context.Context, prefix string) error {
	if err := errors.Join(ctx.Err(), blob.CheckPrefix(prefix)); err != nil {
		return err
	}
	trash := path.Join(tmp, rand.Text())
	err := s.cut(path.Join(objects, strings.TrimSuffix(prefix, "/")), trash)
	if err == nil {
		err = s.root.RemoveAll(trash)
	}
	if err != nil && !missing(err) {
		return s.failure("can't be written", err)
	}
	return nil
}

// cut moves a folder away while no Put makes folders.
func (s *Store) cut(dir, trash string) error {
	s.folders.Lock()
	defer s.folders.Unlock()
	if info, err := s.root.Lstat(dir); err == nil && !info.IsDir() {
		return nil // an object; its key does not begin with the prefix
	}
	if err := s.root.Rename(dir, trash); err != nil {
		return err
	}
	for dir = path.Dir(dir); dir != objects && dir != "."; dir = path.Dir(dir) {
		if s.root.Remove(dir) != nil {
			break // not empty
		}
	}
	return nil
}

// sweep removes temporary files that no living process writes, and folders
// that DeletePrefix has not come to the end of.
func (s *Store) sweep() error {
	entries, err := fs.ReadDir(s.root.FS(), tmp)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(tmp, e.Name())
		f, err := s.root.Open(name)
		if err != nil {
			continue // its writer was faster
		}
		if hold(f) == nil {
			_ = s.root.RemoveAll(name)
		}
		_ = f.Close()
	}
	return nil
}
