package kit

import (
	"bufio"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// linker adds programs together with everything that the dynamic linker will
// look for when they start.
type linker struct {
	tree *tree
	dirs []string
	seen map[string]bool
}

func newLinker(t *tree) *linker {
	return &linker{tree: t, dirs: libraryDirs(), seen: map[string]bool{}}
}

// program adds a program or library and, when it is one, its interpreter and libraries.
func (l *linker) program(path string) error {
	if l.seen[path] {
		return nil
	}
	l.seen[path] = true
	if err := l.tree.add(path); err != nil {
		return err
	}
	f, err := elf.Open(path)
	if err != nil {
		return nil // a script
	}
	defer f.Close()
	if i := interpreter(f); i != "" {
		if err := l.program(i); err != nil {
			return err
		}
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return nil // static
	}
	search := append(runpath(f, path), l.dirs...)
	for _, name := range needed {
		if err := l.library(name, search, f.Class); err != nil {
			return err
		}
	}
	return nil
}

// library adds the first library of that name that fits. One that is nowhere
// is left out: it may be in the interpreter itself, as with musl.
func (l *linker) library(name string, search []string, class elf.Class) error {
	for _, dir := range search {
		at := filepath.Join(dir, name)
		f, err := elf.Open(at)
		if err != nil {
			continue
		}
		fits := f.Class == class
		f.Close()
		if fits {
			return l.program(at)
		}
	}
	return nil
}

// optional adds a file, or library, where the machine has it.
func (l *linker) optional(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return l.program(path)
}

func interpreter(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, min(p.Filesz, 4096))
		if n, _ := p.ReadAt(b, 0); n > 0 {
			return strings.TrimRight(string(b[:n]), "\x00")
		}
	}
	return ""
}

func runpath(f *elf.File, path string) []string {
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		lists, _ := f.DynString(tag)
		for _, list := range lists {
			for _, dir := range strings.Split(list, ":") {
				dir = strings.NewReplacer("$ORIGIN", filepath.Dir(path), "${ORIGIN}", filepath.Dir(path)).Replace(dir)
				if filepath.IsAbs(dir) {
					dirs = append(dirs, dir)
				}
			}
		}
	}
	return dirs
}

// libraryDirs are the folders that the linkers of glibc (ld.so.conf) and musl
// (ld-musl-*.path) search, and their defaults.
func libraryDirs() []string {
	dirs := confDirs("/etc/ld.so.conf", 0)
	musl, _ := filepath.Glob("/etc/ld-musl-*.path")
	for _, file := range musl {
		b, _ := os.ReadFile(file)
		dirs = append(dirs, strings.FieldsFunc(string(b), func(r rune) bool { return r == ':' || r == '\n' })...)
	}
	return append(dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
}

func confDirs(file string, depth int) []string {
	f, err := os.Open(file)
	if err != nil || depth > 4 {
		return nil
	}
	defer f.Close()
	var dirs []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && words[0] == "include":
			pattern := words[1]
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(file), pattern)
			}
			included, _ := filepath.Glob(pattern)
			for _, i := range included {
				dirs = append(dirs, confDirs(i, depth+1)...)
			}
		case len(words) == 1:
			dirs = append(dirs, words[0])
		}
	}
	return dirs
}

// checkStatic refuses a binary that needs anything of the image it runs in.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return errStatic(path, "it is no Linux program")
	}
	defer f.Close()
	if interpreter(f) != "" {
		return errStatic(path, "it needs shared libraries")
	}
	return nil
}

// buildID returns the bytes of the note in which Go's linker names a program
// by its content, or "".
func buildID(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	note := f.Section(".note.go.buildid")
	if note == nil {
		return ""
	}
	b, err := note.Data()
	if err != nil {
		return ""
	}
	return string(b)
}
