package jobfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ci/pkg/ci"
)

// Tree reads the files of a working tree as a server would read them from the
// repository: regular files of at most MaxBytes below root, and no way through
// links. ignored says which paths git leaves out of commits; nil for none.
func Tree(root string, ignored func(path string) bool) ReadFile {
	return func(path string) ([]byte, error) {
		if why := ci.CheckRepoPath(path); why != "" {
			return nil, ci.Errorf(ci.CodeInvalid, "%q %s", path, why)
		}
		dir, err := os.OpenRoot(root)
		if err != nil {
			return nil, err
		}
		defer dir.Close() //nolint:errcheck // only read from
		if err := inTree(dir, path); err != nil {
			return nil, err
		}
		if ignored != nil && ignored(path) {
			return nil, ci.Errorf(ci.CodeNotFound, "file %s is ignored by git, so no server will find it", path)
		}
		return readTree(dir, path)
	}
}

// inTree refuses what git would not have at a path.
func inTree(dir *os.Root, path string) error {
	steps := strings.Split(path, "/")
	for i := range steps {
		info, err := dir.Lstat(filepath.FromSlash(strings.Join(steps[:i+1], "/")))
		last := i == len(steps)-1
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && !last && !info.IsDir():
			return ci.Errorf(ci.CodeNotFound, "file %s does not exist", path)
		case err != nil:
			return err
		case last && !info.Mode().IsRegular():
			return ci.Errorf(ci.CodeInvalid, "%s is not a regular file", path)
		}
	}
	return nil
}

func readTree(dir *os.Root, path string) ([]byte, error) {
	f, err := dir.Open(filepath.FromSlash(path))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if len(data) > MaxBytes {
		return nil, ci.Errorf(ci.CodeInvalid, "file %s is larger than %s; it must be smaller", path, ci.Bytes(MaxBytes))
	}
	return data, err
}
