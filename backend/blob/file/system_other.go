//go:build !unix

package file

import (
	"errors"
	"io/fs"
	"os"
)

var errNotFolder = errors.New("not a folder")

func hold(*os.File) error { return nil }

func full(error) bool { return false }

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func isFolder(err error) bool { return errors.Is(err, errNotFolder) }
