package checkout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

const (
	// mirrorRefs is how many commits a mirror keeps for later fetches to build on.
	mirrorRefs = 20
	// mirrorPacks is how many packs it may consist of before it begins anew.
	mirrorPacks = 60
)

// fetchByMirror gets the commit into the mirror, which has most of it, and from
// there into the workspace: copied and checked object by object, so that the
// workspace depends on nothing. done is false when the mirror is no help: it is
// in use by another checkout, or something is wrong with it.
func (g *git) fetchByMirror(o pipe.Fetch) (done bool) {
	unlock, ok := lock(filepath.Join(o.Mirror, "lock"))
	if !ok {
		return false
	}
	defer unlock()
	dir := filepath.Join(o.Mirror, "repository")
	err := g.throughMirror(dir, o)
	if err == nil {
		return true
	}
	if !gone(err) { // the next checkout makes it anew
		_ = os.RemoveAll(dir)
	}
	g.tell("The agent's mirror is no help here; fetching from the server.")
	return false
}

func (g *git) throughMirror(dir string, o pipe.Fetch) error {
	m := &git{dir: dir, url: g.url, shown: g.shown, tell: g.tell, agent: g.agent, shows: g.shows}
	if err := m.readyMirror(o.CommitSHA); err != nil {
		return err
	}
	depth := []string{}
	if o.Depth > 0 {
		depth = append(depth, fmt.Sprintf("--depth=%d", o.Depth))
	}
	args := append([]string{"fetch", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance"}, depth...)
	if err := m.run("fetch commit "+o.CommitSHA+" into the agent's mirror", append(args, "--", g.url, "+"+o.CommitSHA+":refs/ci/"+o.CommitSHA)...); err != nil {
		return err
	}
	local := &git{dir: g.dir, url: "file://" + dir, shown: g.shown, tell: g.tell, local: true}
	if err := local.run("copy commit "+o.CommitSHA+" from the agent's mirror", append(args, "--", local.url, o.CommitSHA)...); err != nil {
		return err
	}
	return m.trimMirror()
}

// readyMirror makes the mirror where there is none, and clears away what a
// fetch that was cut off has left.
func (g *git) readyMirror(sha string) error {
	left, _ := filepath.Glob(filepath.Join(g.dir, "objects", "pack", "tmp_*"))
	packs, _ := filepath.Glob(filepath.Join(g.dir, "objects", "pack", "*.pack"))
	locks, _ := filepath.Glob(filepath.Join(g.dir, "*.lock"))
	for _, name := range append(left, locks...) {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	if len(packs) > mirrorPacks {
		if err := os.RemoveAll(g.dir); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(g.dir, "HEAD")); err == nil {
		return nil
	}
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return err
	}
	hash := "sha1"
	if len(sha) == 64 {
		hash = "sha256"
	}
	if err := g.run("make a mirror", "init", "--quiet", "--bare", "--template=", "--object-format="+hash, "--", g.dir); err != nil {
		return err
	}
	// For upload-pack, which takes nothing from our command line.
	return g.run("set a mirror up", "config", "uploadpack.allowAnySHA1InWant", "true")
}

// trimMirror forgets all but the newest commits; what only they had stays until the mirror begins anew.
func (g *git) trimMirror() error {
	refs, err := g.output("for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/ci/")
	if err != nil {
		return err
	}
	all := strings.Fields(refs)
	for _, ref := range all[min(len(all), mirrorRefs):] {
		if err := g.run("trim the mirror", "update-ref", "-d", "--", ref); err != nil {
			return err
		}
	}
	return nil
}

// lock takes a file for this process alone, or says that another has it.
func lock(path string) (unlock func(), ok bool) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, false
	}
	return func() { _ = f.Close() }, true
}

// sizeOf is how many bytes the files of a folder have.
func sizeOf(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return fs.SkipDir
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}
