// Package unpack brings a working tree into an empty folder, out of the tar
// archive that an agent sends. It is the first process of a container that has
// the run's workspace, and nothing of the job.
package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"ci/agentd/toolbox/pipe"
)

// Main reads its order and the archive from standard input and answers on
// standard output.
func Main() int {
	var order pipe.Unpack
	if err := pipe.ReadFrame(os.Stdin, &order, pipe.MaxDown); err != nil {
		fmt.Fprintf(os.Stderr, "unpack got no order: %v\n", err)
		return 1
	}
	var answer pipe.Unpacked
	archive := &pipe.PieceReader{R: os.Stdin}
	if err := Into(order.Dir, archive); err != nil {
		answer.Failed = err.Error()
	}
	// Who sends hears of a failure when all is sent, and not by a broken pipe.
	if _, err := io.Copy(io.Discard, archive); err != nil {
		return 1 // it has gone
	}
	if err := pipe.WriteFrame(os.Stdout, answer, pipe.MaxUp); err != nil {
		fmt.Fprintf(os.Stderr, "unpack can't answer: %v\n", err)
		return 1
	}
	return 0
}

// Into writes what a tar archive holds below dir: files, folders and symbolic
// links. Nothing is written outside, whatever names and links the archive has.
func Into(dir string, archive io.Reader) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = write(root, h, r)
		}
		if err != nil {
			return fmt.Errorf("the working tree can't be unpacked: %w", err)
		}
	}
}

func write(root *os.Root, h *tar.Header, body io.Reader) error {
	name := path.Clean(h.Name)
	if parent := path.Dir(name); parent != "." {
		if err := root.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		return writeFile(root, name, h.FileInfo().Mode().Perm(), body)
	}
	return fmt.Errorf("%q is neither a file, a folder nor a symbolic link", h.Name)
}

func writeFile(root *os.Root, name string, mode fs.FileMode, body io.Reader) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Chmod(mode), f.Close())
}
