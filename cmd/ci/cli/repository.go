package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"ci/pkg/jobfile"
)

// repositoryFiles reads the files that a job file names, from the working tree
// that it stands in: the nearest folder above it that has a .git. It is nil
// where there is none.
func repositoryFiles(ctx context.Context, jobFile string) jobfile.ReadFile {
	root := repositoryRoot(jobFile)
	if root == "" {
		return nil
	}
	return jobfile.Tree(root, func(path string) bool { return ignoredByGit(ctx, root, path) })
}

// repositoryRoot is the root of the working tree that a file stands in; - is
// the working directory. "" means that it stands in none.
func repositoryRoot(file string) string {
	dir := "."
	if file != "-" {
		dir = filepath.Dir(file)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// ignoredByGit says whether git leaves a file out of commits. Without git nothing is left out.
func ignoredByGit(ctx context.Context, root, path string) bool {
	return exec.CommandContext(ctx, "git", "-C", root, "check-ignore", "--quiet", "--", path).Run() == nil
}
