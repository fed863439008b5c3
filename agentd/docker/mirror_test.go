package docker

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/sshkey/sshdtest"
)

// mirroring is a driver whose repositories are all large.
func mirroring(t *testing.T, budget int64) *Driver {
	t.Helper()
	cfg := config("kept-" + t.Name())
	cfg.mirrorFrom, cfg.MirrorBudget = 1, budget
	return opened(t, cfg)
}

func mirrorVolumes(t *testing.T, d *Driver) (names []string) {
	t.Helper()
	list, err := d.volumes(t.Context())
	require.NoError(t, err)
	for _, v := range list {
		if strings.Contains(v.name, "-mirror-") {
			names = append(names, v.name)
		}
	}
	return names
}

// The second checkout of a large repository makes a mirror, the third one uses
// it; the workspace is the same as without, and does not depend on it.
func TestMirror(t *testing.T) {
	t.Parallel()
	d := mirroring(t, 1<<30)
	r := newRepository(t)
	const look = `cat file; git rev-parse HEAD; git for-each-ref | wc -l; git cat-file --batch-all-objects --batch-check='%(objecttype)' | grep -c commit; cat .git/objects/info/alternates 2>&1 | grep -c o.such; git fsck 2>&1; ls /mirror 2>&1 | grep -c o.such; git config remote.origin.url`
	for i, depth := range []int{1, 1, 1, 2, 0, 0, 0} {
		sha := r.shas[i%3]
		commits := i%3 + 1
		if depth > 0 {
			commits = min(commits, depth)
		}
		_, output, _ := playOn(t, d, order(look, from(r.url, sha, depth)))
		require.Contains(t, output, fmt.Sprintf("version %d\n%s\n0\n%d\n1\n1\n%s\n", i%3, sha, commits, r.url), "checkout %d", i)
		require.NotContains(t, output, "no help here")
	}
	require.Len(t, mirrorVolumes(t, d), 2, "one with all of the history, one without")

	// It is the mirror that answers: the server never shows what is there already.
	_, output, _ := playOn(t, d, order("cat file", from(r.url, r.shas[2], 1)))
	require.Contains(t, output, "version 2\n")
	missing := strings.Repeat("0123456789", 4)
	_, err := d.Prepare(t.Context(), order("never", from(r.url, missing, 1)), io.Discard)
	require.ErrorContains(t, err, "not our ref")
	_, output, _ = playOn(t, d, order("cat file", from(r.url, r.shas[0], 1)))
	require.Contains(t, output, "version 0\n", "a commit that is not there spoils nothing")
}

// What one key has fetched is not in the mirror of another, nor of none.
func TestMirrorsAreApart(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, "127.0.0.1")
	one, two := server.Access(t, "one"), server.Access(t, "two")
	url := "ssh://git@host/x"
	keys := map[string]bool{}
	for _, change := range []func(*runner.Order){withKey(nil), withKey(one), withKey(two)} {
		for _, depth := range []int{0, 1} {
			keys[mirrorKey(order("", from(url, "x", depth), change))] = true
		}
	}
	require.Len(t, keys, 6)
	require.Equal(t, mirrorKey(order("", from(url, "x", 1), withKey(one))), mirrorKey(order("", from(url, "y", 3), withKey(one))))

	d := mirroring(t, 1<<30)
	r := private(t)
	for range 3 {
		_, output, _ := playOn(t, d, order("cat file", from(server.URL(r.dir), r.shas[1], 1), withKey(one)))
		require.Contains(t, output, "private 1\n")
	}
	_, err := d.Prepare(t.Context(), order("never", from(server.URL(r.dir), r.shas[1], 1)), io.Discard)
	require.Error(t, err, "without the key")
}

// Over the budget the one that was unused for the longest time goes.
func TestMirrorBudget(t *testing.T) {
	t.Parallel()
	d := mirroring(t, 300<<10)
	a, b := newRepository(t), newRepository(t)
	for _, r := range []*repository{a, b} {
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "noise"), noise(200<<10), 0o644))
		r.commit(t, "noise")
		for range 2 {
			_, output, _ := playOn(t, d, order("cat file", from(r.url, r.shas[3], 1)))
			require.Contains(t, output, "version 2\n")
		}
	}
	s, err := d.ready()
	require.NoError(t, err)
	eventually(t, func() bool { // the container of the last checkout may still hold it
		s.mirrors.mu.Lock()
		defer s.mirrors.mu.Unlock()
		s.mirrors.shrink(context.Background())
		return len(s.mirrors.all) == 1
	}, "one mirror is left")
	require.Len(t, mirrorVolumes(t, d), 1)
}

// noise is what no compression makes smaller.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}
