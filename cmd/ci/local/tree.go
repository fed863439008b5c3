package local

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ci/pkg/ci"
)

// Tree is a working tree of git.
type Tree struct {
	// Root is its folder; File the job file in it, with slashes.
	Root string
	File string
	// Commit is what it stands on, and Branch its name; "" where there is none.
	Commit string
	Branch string
	// Dirty says that it differs from Commit.
	Dirty bool
}

// OpenTree finds the working tree that a file lies in.
func OpenTree(ctx context.Context, file string) (*Tree, error) {
	real, err := filepath.Abs(file)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the job file can't be found: %w", err)
	}
	root, err := git(ctx, filepath.Dir(real), "rev-parse", "--show-toplevel")
	if errors.Is(err, exec.ErrNotFound) {
		return nil, ci.Errorf(ci.CodeInvalid, "git is needed to know which files belong to the working tree; install it")
	}
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "%s lies in no working tree of git, which says what belongs to it: %w; `git init` makes one", file, err)
	}
	t := &Tree{Root: strings.TrimSuffix(root, "\n")}
	rel, err := filepath.Rel(t.Root, real)
	if err != nil {
		return nil, err
	}
	t.File = filepath.ToSlash(rel)
	if sha, err := git(ctx, t.Root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"); err == nil {
		t.Commit = strings.TrimSpace(sha)
	}
	if name, err := git(ctx, t.Root, "symbolic-ref", "--quiet", "--short", "HEAD"); err == nil {
		t.Branch = strings.TrimSpace(name)
	}
	status, err := git(ctx, t.Root, "status", "--porcelain", "--ignore-submodules=none")
	t.Dirty = status != "" || t.Commit == ""
	return t, err
}

// git runs one command in a folder and returns what it prints; its own last
// words are in the error.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(said.String()); text != "" {
			return "", fmt.Errorf("git %s: %s", args[0], text)
		}
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return out.String(), nil
}

// Write writes the tree as a tar archive: what git tracks and what it does not
// ignore, as it lies there, with links as links. Submodules come as far as they
// are checked out, or as empty folders. A repository of the commit and depth-1
// of its ancestors (0: all) lies in .git, as in a checkout.
func (t *Tree) Write(ctx context.Context, w io.Writer, depth int, submodules bool) error {
	archive := tar.NewWriter(w)
	if err := t.files(ctx, archive, t.Root, "", submodules); err != nil {
		return err
	}
	if t.Commit != "" {
		if err := t.repository(ctx, archive, depth); err != nil {
			return err
		}
	}
	return archive.Close()
}

// files writes the files of one repository, whose folder in the archive is at.
func (t *Tree) files(ctx context.Context, archive *tar.Writer, root, at string, submodules bool) error {
	list, err := git(ctx, root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	names := strings.Split(strings.TrimSuffix(list, "\x00"), "\x00")
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name == "" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		from, to := filepath.Join(root, filepath.FromSlash(name)), path.Join(at, name)
		info, err := os.Lstat(from)
		switch {
		case errors.Is(err, fs.ErrNotExist): // git knows it, and it was deleted
			continue
		case err == nil && info.IsDir():
			err = t.nested(ctx, archive, from, to, submodules)
		case err == nil:
			err = add(archive, from, to, info)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// nested writes a repository inside another.
func (t *Tree) nested(ctx context.Context, archive *tar.Writer, from, to string, submodules bool) error {
	if err := archive.WriteHeader(&tar.Header{Name: to + "/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(from, ".git")); err != nil || !submodules {
		return nil
	}
	return t.files(ctx, archive, from, to, submodules)
}

// add writes one file or link. Modes are what a checkout gives: all that git
// knows of them is whether a file can be executed.
func add(archive *tar.Writer, from, to string, info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return archive.WriteHeader(&tar.Header{Name: to, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777})
	case !info.Mode().IsRegular():
		return nil // a device or a pipe, which no checkout would have
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return err
	}
	h := &tar.Header{Name: to, Typeflag: tar.TypeReg, Size: info.Size(), Mode: 0o644, ModTime: info.ModTime()}
	if info.Mode()&0o111 != 0 {
		h.Mode = 0o755
	}
	if err := archive.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.CopyN(archive, f, h.Size); err != nil {
		return fmt.Errorf("it changes while it is read (%w); try again", err)
	}
	return nil
}

// repository writes .git: the commit alone, detached, without the developer's
// configuration, branches, hooks and addresses.
func (t *Tree) repository(ctx context.Context, archive *tar.Writer, depth int) error {
	dir, err := os.MkdirTemp("", "ci-exec-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the system's temporary folder
	at := filepath.Join(dir, "git")
	clone := []string{"clone", "--quiet", "--bare", "--no-tags", "--single-branch", "--template=", "-c", "core.logAllRefUpdates=false"}
	if depth > 0 {
		clone = append(clone, "--depth="+strconv.Itoa(depth))
	}
	for _, args := range [][]string{
		append(clone, "--", "file://"+t.Root, at),
		{"--git-dir=" + at, "remote", "remove", "origin"},
		{"--git-dir=" + at, "config", "core.bare", "false"},
		{"--git-dir=" + at, "update-ref", "--no-deref", "HEAD", t.Commit},
		{"--git-dir=" + at, "read-tree", "HEAD"},
	} {
		if _, err := git(ctx, t.Root, args...); err != nil {
			return fmt.Errorf("the commit can't be copied: %w", err)
		}
	}
	return filepath.WalkDir(at, func(from string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(at, from)
		if err != nil {
			return err
		}
		to := path.Join(".git", filepath.ToSlash(rel))
		if d.IsDir() {
			return archive.WriteHeader(&tar.Header{Name: to + "/", Typeflag: tar.TypeDir, Mode: 0o755})
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return add(archive, from, to, info)
	})
}
