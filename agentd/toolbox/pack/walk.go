package pack

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// Limits of one walk.
const (
	maxDepth   = 256       // folders below each other; each holds a descriptor open
	maxEntries = 2_000_000 // looked at
	maxPath    = 4096      // bytes
	batch      = 1024      // entries of one folder read at once
)

// walk gathers files below a root.
type walk struct {
	root  *os.Root
	max   int // files
	match func(name string) bool
	whole bool // the pattern itself has no depth

	names   []string
	bytes   int64
	entries int
	tooMany bool
	left    left
}

// left counts what a walk left out, by cause.
type left struct{ names, kinds, links, deep, unreadable int }

func (l left) any() bool { return l != left{} }

// String lists the causes.
func (l left) String() string {
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{l.names, "with a name that has control characters, backslashes, invalid UTF-8 or too many bytes"},
		{l.kinds, "that are no regular files"},
		{l.links, "that are links out of the working directory or to nothing"},
		{l.deep, fmt.Sprintf("in folders more than %d deep", maxDepth)},
		{l.unreadable, "that could not be read"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d entries %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

// glob walks as much of the tree as pattern can match.
func (w *walk) glob(pattern string) {
	base, rest := doublestar.SplitPattern(pattern)
	depth := strings.Count(rest, "/") + 1
	if strings.Contains(rest, "**") || strings.Contains(rest, "{") { // alternatives may hold slashes
		w.whole, depth = true, maxDepth
	}
	w.match = func(name string) bool {
		ok, err := doublestar.Match(pattern, name)
		return ok && err == nil
	}
	w.below(base, depth)
}

// below walks the folder name, depth levels down.
func (w *walk) below(name string, depth int) {
	folder, err := w.root.OpenRoot(name)
	if err != nil {
		return // not there, or not to be had: nothing matches
	}
	defer folder.Close()
	w.folder(folder, name, depth)
}

func (w *walk) folder(at *os.Root, name string, depth int) {
	list, err := at.Open(".")
	if err != nil {
		w.left.unreadable++
		return
	}
	defer list.Close()
	for !w.full() {
		entries, err := list.ReadDir(batch)
		for _, e := range entries {
			if w.full() {
				return
			}
			w.entry(at, path.Join(name, e.Name()), e, depth)
		}
		if err != nil {
			if err != io.EOF {
				w.left.unreadable++
			}
			return
		}
	}
}

func (w *walk) full() bool {
	w.tooMany = w.tooMany || w.entries >= maxEntries
	return w.tooMany
}

func (w *walk) entry(at *os.Root, name string, e fs.DirEntry, depth int) {
	w.entries++
	switch {
	case !decent(e.Name()) || len(name) > maxPath:
		if e.IsDir() || w.match(name) {
			w.left.names++
		}
	case e.IsDir() && depth > 1:
		sub, err := at.OpenRoot(e.Name())
		if err != nil {
			w.left.unreadable++
			return
		}
		w.folder(sub, name, depth-1)
		sub.Close()
	case e.IsDir():
		if w.whole {
			w.left.deep++
		}
	case w.match(name):
		w.file(name, e)
	}
}

// file takes a directory entry that matches, or counts why not.
func (w *walk) file(name string, e fs.DirEntry) {
	link := e.Type()&fs.ModeSymlink != 0
	if !link && !e.Type().IsRegular() {
		w.left.kinds++
		return
	}
	info, err := w.root.Stat(name)
	switch {
	case err != nil && link:
		w.left.links++
	case err != nil:
		w.left.unreadable++
	case info.Mode().IsRegular():
		w.take(name, info.Size())
	case !info.IsDir(): // a link to a folder is no file, and not followed
		w.left.kinds++
	}
}

func (w *walk) take(name string, size int64) {
	if !decent(path.Base(name)) {
		w.left.names++
		return
	}
	if len(w.names) == w.max {
		w.tooMany = true
		return
	}
	w.names = append(w.names, name)
	w.bytes += size
	if w.bytes < 0 {
		w.bytes = 1<<63 - 1 // sparse files add up quickly
	}
}

// decent says whether a file's name can be shown, stored and unpacked anywhere.
func decent(name string) bool {
	if len(name) > 255 || !utf8.ValidString(name) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\\'
	})
}
