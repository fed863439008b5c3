package pack

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/klauspost/compress/flate"

	"ci/agentd/toolbox/pipe"
)

// errLimit says that there was more than the sizes had promised.
var errLimit = errors.New("over the limit")

// WriteTo writes the file as it is, or a zip of all files in the order of
// their names, and returns what is to be said at the end. It trusts no size:
// it stops once it has read more than the limit.
func (f Found) WriteTo(root *os.Root, w io.Writer) pipe.Packed {
	buffered := bufio.NewWriterSize(w, 128<<10)
	left := f.maxBytes
	var err error
	if f.File != "" {
		err = copyFile(buffered, root, f.names[0], &left)
	} else {
		err = f.zip(buffered, root, &left)
	}
	if err == nil {
		err = buffered.Flush()
	}
	switch {
	case errors.Is(err, errLimit):
		return pipe.Packed{Failed: fmt.Sprintf("holds more than the %d bytes that are left to this run", f.maxBytes), TooLarge: true}
	case err != nil:
		return pipe.Packed{Failed: err.Error()}
	}
	return pipe.Packed{}
}

func (f Found) zip(w io.Writer, root *os.Root, left *int64) error {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.DefaultCompression)
	})
	for _, name := range f.names {
		info, err := root.Stat(name)
		if err != nil {
			return err
		}
		member, err := z.CreateHeader(header(name, info))
		if err != nil {
			return err
		}
		if err := copyFile(member, root, name, left); err != nil {
			return err
		}
	}
	return z.Close()
}

func header(name string, info os.FileInfo) *zip.FileHeader {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: info.ModTime().UTC()}
	h.SetMode(info.Mode().Perm())
	return h
}

// copyFile copies a regular file and takes its bytes off left.
func copyFile(w io.Writer, root *os.Root, name string, left *int64) error {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no longer a regular file", name)
	}
	n, err := io.Copy(w, io.LimitReader(file, *left+1))
	*left -= n
	if *left < 0 {
		return errLimit
	}
	return err
}
