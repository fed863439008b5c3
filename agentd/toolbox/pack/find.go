// Package pack finds a run's results in its working directory and packs them.
// Everything there was made by the script and is not to be believed: names,
// sizes, links and the number of files are all limited here.
package pack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"ci/agentd/toolbox/pipe"
)

// Found is what matched one Collection.
type Found struct {
	pipe.Packing
	names    []string // relative to the root, with slashes, sorted
	maxBytes int64
}

// Find looks for regular files that want.Path means: the file of that path,
// all files below the folder of that path, or all that the glob matches. It
// never leaves root, and follows links to files alone.
func Find(root *os.Root, want pipe.Collection) Found {
	name := path.Clean(want.Path)
	if !filepath.IsLocal(name) {
		return missing("%s is not below the working directory", want.Path)
	}
	w := &walk{root: root, max: want.MaxFiles}
	info, err := root.Stat(name)
	plain := err == nil
	switch {
	case plain && info.Mode().IsRegular():
		w.take(name, info.Size())
	case plain && info.IsDir():
		w.match, w.whole = func(string) bool { return true }, true
		w.below(name, maxDepth)
	case plain:
		return missing("%s is neither a file nor a folder", want.Path)
	case !doublestar.ValidatePattern(name):
		return missing("%s is not a valid glob", want.Path)
	default:
		if reason := leaves(root, name, err); reason != "" {
			return missing("%s", reason)
		}
		w.glob(name)
	}
	return w.found(want, plain && info.Mode().IsRegular())
}

// leaves explains a plain path that exists but leads out of the root.
func leaves(root *os.Root, name string, err error) string {
	if _, lerr := root.Lstat(name); lerr == nil {
		return fmt.Sprintf("%s is a link that leads nowhere or out of the working directory", name)
	}
	if !errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(name, `*?[{`) {
		return fmt.Sprintf("%s can't be read: %v", name, errors.Unwrap(err))
	}
	return ""
}

func missing(format string, args ...any) Found {
	return Found{Packing: pipe.Packing{Missing: fmt.Sprintf(format, args...)}}
}

// found sums the walk up.
func (w *walk) found(want pipe.Collection, single bool) Found {
	switch {
	case w.tooMany:
		f := missing("%s matches more than %d files", want.Path, want.MaxFiles)
		f.TooLarge = true
		return f
	case len(w.names) == 0 && w.left.any():
		return missing("no file matches %s but %s", want.Path, w.left)
	case len(w.names) == 0:
		return missing("no file matches %s", want.Path)
	case w.bytes > want.MaxBytes:
		f := missing("%s holds %d bytes; %d are left to this run", want.Path, w.bytes, want.MaxBytes)
		f.TooLarge = true
		return f
	}
	slices.Sort(w.names)
	f := Found{names: w.names, maxBytes: want.MaxBytes}
	f.Files = len(w.names)
	if w.left.any() {
		f.Note = fmt.Sprintf("was saved without %s", w.left)
	}
	// Asked for a zip, a lone file is zipped unless it is one.
	if single && (!want.Zip || strings.EqualFold(path.Ext(w.names[0]), ".zip")) {
		f.File = path.Base(w.names[0])
	}
	return f
}
