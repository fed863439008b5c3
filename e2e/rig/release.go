package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// migrations is the folder that tells which schema of the database a commit has.
const migrations = "backend/store/migrations"

// oldest is in the schema of the first release that upgrades are promised from:
// what came before it knows no agents with a token.
const oldest = "/00004_agent_tokens.sql"

// EarlierRelease builds cid and ci-agent as they were before the database's
// schema last changed, out of the repository's history, and returns the commit.
// Where the history does not reach that far (a shallow clone, an archive), or has
// nothing between the first release and today, they are built from this tree under another version, and the commit is "".
func EarlierRelease(ctx context.Context, dir string) (bin Binaries, commit string, err error) {
	root, err := Root()
	if err != nil {
		return "", "", err
	}
	tree := filepath.Join(dir, "tree")
	if commit = beforeSchema(root); commit == "" || extract(root, commit, tree) != nil {
		tree, commit = root, "" // a partial clone knows commits whose files it lacks
	}
	bin = Binaries(filepath.Join(dir, "bin"))
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-X ci/cmd/ci-agent/machine.Version=earlier",
		"-o", string(bin)+string(filepath.Separator), "./cmd/cid", "./cmd/ci-agent")
	cmd.Dir, cmd.Env = tree, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("the earlier release, commit %q, can't be built: %w\n%s", commit, err, out)
	}
	return bin, commit, nil
}

// beforeSchema is the newest commit that has the first versions of today's
// schema, unchanged, and not the last ones; "" when there is none.
func beforeSchema(root string) string {
	now, err := history(root, "ls-tree", "HEAD", migrations+"/")
	if err != nil {
		return ""
	}
	changes, err := history(root, "log", "--format=%H", "--", migrations)
	if err != nil {
		return ""
	}
	for change := range strings.FieldsSeq(changes) {
		then, err := history(root, "ls-tree", change+"^", migrations+"/")
		if err != nil || !strings.Contains(then, oldest) || !strings.HasPrefix(now, then+"\n") {
			continue
		}
		if commit, err := history(root, "rev-parse", change+"^"); err == nil {
			return commit
		}
	}
	return ""
}

// extract writes a commit's files into the new folder dir.
func extract(root, commit, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	archive := dir + ".tar"
	defer os.Remove(archive)
	if _, err := history(root, "archive", "-o", archive, commit); err != nil {
		return err
	}
	if out, err := exec.Command("tar", "-xf", archive, "-C", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, out)
	}
	return nil
}

// history asks the repository's own git, whoever owns its folder.
func history(root string, args ...string) (string, error) {
	return git(root, append([]string{"-c", "safe.directory=*"}, args...)...)
}
