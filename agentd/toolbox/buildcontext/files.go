package buildcontext

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/moby/buildkit/util/staticfs"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

// maxIgnore is how large a .dockerignore may be, in bytes.
const maxIgnore = 1 << 20

// files are one build's.
type files struct {
	root       *os.Root // the context's folder
	context    fsutil.FS
	dockerfile fsutil.FS
	answer     pipe.BuildFiles
}

// Close lets go of the folder.
func (f *files) Close() { _ = f.root.Close() }

// read finds the files and sums them up. Names are resolved below the
// checkout: a link that leads out of it is as good as broken.
func read(order pipe.BuildContext) (*files, error) {
	checkout, err := os.OpenRoot(order.Dir)
	if err != nil {
		return nil, fmt.Errorf("the checkout can't be opened: %w", err)
	}
	defer checkout.Close()
	text, err := readFile(checkout, order.Dockerfile, pipe.MaxDockerfile)
	if err != nil {
		return nil, fmt.Errorf("the Dockerfile %s can't be read: %w; it is a path in the repository", order.Dockerfile, plain(err))
	}
	root, err := checkout.OpenRoot(order.Context)
	if err != nil {
		return nil, fmt.Errorf("the build context %s can't be opened: %w; it is a folder in the repository", order.Context, plain(err))
	}
	f := &files{root: root, answer: pipe.BuildFiles{Dockerfile: text}}
	if err := f.fill(checkout, order); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (f *files) fill(checkout *os.Root, order pipe.BuildContext) error {
	own := staticfs.NewFS()
	own.Add(pipe.DockerfileName, &types.Stat{Mode: 0o644}, f.answer.Dockerfile)
	f.dockerfile = own
	// As with docker build, a Dockerfile's own ignore file goes before the context's.
	ignore, err := readFile(checkout, order.Dockerfile+".dockerignore", maxIgnore)
	switch {
	case err == nil:
		own.Add(pipe.DockerfileName+".dockerignore", &types.Stat{Mode: 0o644}, ignore)
	case errors.Is(err, fs.ErrNotExist):
		if ignore, err = readFile(f.root, ".dockerignore", maxIgnore); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s can't be read: %w", path.Join(order.Context, ".dockerignore"), plain(err))
		}
	default:
		return fmt.Errorf("%s.dockerignore can't be read: %w", order.Dockerfile, plain(err))
	}
	excludes, err := ignorefile.ReadAll(bytes.NewReader(ignore))
	if err != nil {
		return fmt.Errorf("the .dockerignore of %s can't be understood: %w", order.Dockerfile, err)
	}
	if !order.Git {
		// The repository itself differs between checkouts of the same commit.
		excludes = append(excludes, ".git", "**/.git")
	}
	filtered, err := fsutil.NewFilterFS(fsutil.NewRootFS(fsutil.NewRoot(f.root)), &fsutil.FilterOpt{ExcludePatterns: excludes, Map: anonymous})
	if err != nil {
		return fmt.Errorf("the .dockerignore of %s can't be understood: %w", order.Dockerfile, err)
	}
	f.context = honest{filtered}
	return f.sum(order)
}

// anonymous leaves files, folders and links as everybody's, and nothing else:
// a build gets no devices, pipes and sockets.
func anonymous(_ string, s *types.Stat) fsutil.MapResult {
	switch mode := os.FileMode(s.Mode); mode.Type() {
	case 0, os.ModeDir, os.ModeSymlink:
		s.Uid, s.Gid, s.Xattrs = 0, 0, nil
		return fsutil.MapResultKeep
	default:
		return fsutil.MapResultExclude
	}
}

// honest fails where the library below would send an empty file: when one
// can't be opened.
type honest struct{ fsutil.FS }

// Open opens a file for reading.
func (h honest) Open(name string) (io.ReadCloser, error) {
	r, err := h.FS.Open(name)
	if err != nil {
		return io.NopCloser(broken{err}), nil //nolint:nilerr // the reader says it
	}
	return r, nil
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// sum fills in the digest and what it is of.
func (f *files) sum(order pipe.BuildContext) error {
	h := sha256.New()
	err := f.context.Walk(context.Background(), "/", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*types.Stat)
		if !ok {
			return fmt.Errorf("%q has no status", name)
		}
		if f.answer.Files++; f.answer.Files > order.MaxFiles {
			return fmt.Errorf("it has more than %d files; name those that the build does not need in .dockerignore", order.MaxFiles)
		}
		return f.add(h, name, stat, order.MaxBytes)
	})
	if err != nil {
		return fmt.Errorf("the build context %s can't be read: %w", order.Context, plain(err))
	}
	f.answer.Digest = hex.EncodeToString(h.Sum(nil))
	return nil
}

// add adds one entry. Each part is behind its length, so that no two contexts
// look the same.
func (f *files) add(h hash.Hash, name string, s *types.Stat, limit int64) error {
	mode := os.FileMode(s.Mode)
	field(h, []byte(name))
	field(h, binary.BigEndian.AppendUint32(nil, uint32(mode.Type()|mode.Perm()|mode&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky))))
	switch mode.Type() {
	case os.ModeSymlink:
		field(h, []byte(s.Linkname))
	case 0:
		r, err := f.context.Open(name)
		if err != nil {
			return err
		}
		defer r.Close()
		content := sha256.New()
		n, err := io.Copy(content, io.LimitReader(r, limit-f.answer.Bytes+1))
		if f.answer.Bytes += n; err == nil && f.answer.Bytes > limit {
			err = fmt.Errorf("it is larger than %d MiB; name what the build does not need in .dockerignore", limit>>20)
		}
		if err != nil {
			return err
		}
		field(h, content.Sum(nil))
	}
	return nil
}

func field(h hash.Hash, b []byte) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
	h.Write(b)
}

// readFile reads a regular file below root.
func readFile(root *os.Root, name string, limit int64) ([]byte, error) {
	// Without waiting: it may be a pipe.
	file, err := root.OpenFile(path.Clean(name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("it is larger than %d KiB", limit>>10)
	}
	return text, err
}

// plain leaves out of a system's error what people did not write.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
