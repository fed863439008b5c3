package kit

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is one file, folder or symbolic link of the image. Exactly one of
// link, source, text and dir says which.
type entry struct {
	name   string // absolute
	dir    bool
	link   string
	source string // a file of the machine
	text   string
	mode   fs.FileMode
}

// tree is the image's file system.
type tree struct{ entries map[string]entry }

func newTree() *tree {
	t := &tree{entries: map[string]entry{}}
	t.folder("/tmp", 0o777|fs.ModeSticky)
	t.folder("/root", 0o700)
	t.folder("/run", 0o755)
	t.folder("/proc", 0o755)
	t.folder("/sys", 0o755)
	t.folder("/dev", 0o755)
	t.folder("/usr/local/bin", 0o755)
	return t
}

// add takes a file of the machine at its own path, with all folders and links
// on the way to it, so that it is found by every name that it has there.
func (t *tree) add(name string) error {
	done := "/"
	rest := strings.Split(strings.Trim(name, "/"), "/")
	for hops := 0; len(rest) > 0; {
		if rest[0] == "" || rest[0] == "." || rest[0] == ".." {
			if rest[0] == ".." {
				done = path.Dir(done)
			}
			rest = rest[1:]
			continue
		}
		at := path.Join(done, rest[0])
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if hops++; hops > 40 {
				return fmt.Errorf("%s goes through too many links", name)
			}
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			t.put(entry{name: at, link: target})
			if path.IsAbs(target) {
				done = "/"
			}
			rest = append(strings.Split(strings.Trim(target, "/"), "/"), rest[1:]...)
		case info.IsDir():
			t.folder(at, 0o755)
			done, rest = at, rest[1:]
		case info.Mode().IsRegular() && len(rest) == 1:
			return t.file(at, at, info.Mode().Perm()&^0o022)
		default:
			return fmt.Errorf("%s is neither a file nor a folder", at)
		}
	}
	return nil
}

// put adds e and the folders above it; the first of a name stays.
func (t *tree) put(e entry) {
	if _, there := t.entries[e.name]; there {
		return
	}
	t.entries[e.name] = e
	if parent := path.Dir(e.name); parent != "/" {
		t.put(entry{name: parent, dir: true, mode: 0o755})
	}
}

func (t *tree) folder(name string, mode fs.FileMode) { t.put(entry{name: name, dir: true, mode: mode}) }

func (t *tree) text(name, text string) { t.put(entry{name: name, text: text, mode: 0o644}) }

// file adds the machine's file source under name.
func (t *tree) file(name, source string, mode fs.FileMode) error {
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	t.put(entry{name: name, source: source, mode: mode})
	return nil
}

// sorted returns the entries by name: folders come before what is in them.
func (t *tree) sorted() []entry {
	all := make([]entry, 0, len(t.entries))
	for _, e := range t.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all
}

// write writes a tar archive that is the same for the same inputs.
func (t *tree) write(w io.Writer) (int64, error) {
	count := &counter{w: w}
	archive := tar.NewWriter(count)
	for _, e := range t.sorted() {
		if err := writeEntry(archive, e); err != nil {
			return count.n, fmt.Errorf("the toolbox image can't take %s: %w", e.name, err)
		}
	}
	return count.n, archive.Close()
}

func writeEntry(archive *tar.Writer, e entry) error {
	h := &tar.Header{Name: strings.TrimPrefix(e.name, "/"), Mode: int64(e.mode.Perm()), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	switch {
	case e.dir:
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		if e.mode&fs.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
		return archive.WriteHeader(h)
	case e.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
		return archive.WriteHeader(h)
	case e.source == "":
		h.Typeflag, h.Size = tar.TypeReg, int64(len(e.text))
		if err := archive.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.WriteString(archive, e.text)
		return err
	}
	f, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := archive.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
