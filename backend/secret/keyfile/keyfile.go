// Package keyfile writes the files that hold what opens things: whole or not
// at all, for their owner alone, also when several processes do so at once.
package keyfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Replace writes a file in place of the one that may be there.
func Replace(path string, text []byte) error { return write(path, text, os.Rename) }

// Make writes a file where there is none. When somebody was first, theirs stays
// and the error is fs.ErrExist.
func Make(path string, text []byte) error {
	return write(path, text, os.Link) // unlike Rename, Link never replaces a file
}

func write(path string, text []byte, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("a file for %s can't be made: %w", path, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // after a Rename there is none, after a Link it is a second name
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%s can't be written: %w", path, err)
	}
	if err := place(f.Name(), path); err != nil {
		return fmt.Errorf("%s can't be put in its place: %w", path, err)
	}
	return nil
}
