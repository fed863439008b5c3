package engine_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/blob"
	"ci/backend/blob/file"
	"ci/backend/engine"
	"ci/backend/store"
	"ci/pkg/ci"
)

// kept is a world whose objects can be looked at, and that can die.
type kept struct {
	*world
	dir   string
	death *death
}

// death ends everything at the n-th operation, as a kill does: from then on
// no write and no removal succeeds. 0 never comes.
type death struct {
	mu  sync.Mutex
	at  int
	ops int
}

var errDead = errors.New("the process was killed")

// step is an operation; it fails once death has come.
func (d *death) step() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops++
	if d.at > 0 && d.ops >= d.at {
		return errDead
	}
	return nil
}

// reset begins to count, and dies at an operation; 0 heals.
func (d *death) reset(at int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at, d.ops = at, 0
}

// mortal is an object store that dies before a removal, in its middle, or before its answer.
type mortal struct {
	blob.Store
	*death
}

func (m mortal) DeletePrefix(ctx context.Context, prefix string) error {
	if err := m.step(); err != nil {
		return err
	}
	if strings.HasSuffix(prefix, "results/") {
		if err := m.Delete(ctx, prefix+"first"); err != nil {
			return err
		}
		if err := m.step(); err != nil {
			return err
		}
	}
	return errors.Join(m.Store.DeletePrefix(ctx, prefix), m.step())
}

func keeping(t *testing.T) *kept {
	k := &kept{dir: t.TempDir(), death: &death{}}
	k.world = setup(t, func(c *engine.Config) {
		blobs, err := file.Open(k.dir)
		require.NoError(t, err)
		c.Blobs = mortal{blobs, k.death}
	})
	k.db.SetFault(func(bool) error { return k.death.step() })
	for _, job := range []string{"a", "b"} {
		k.put(ci.Job{Name: job, Freestyle: []byte(`{"script":"true"}`)})
	}
	return k
}

// ended records a run that ended so long ago, with a console of 20,000 bytes
// that lies in an object and two results of 1,000 bytes together.
func (k *kept) ended(job string, ago time.Duration, key ...string) *ci.Run {
	k.t.Helper()
	run := k.trigger(ci.Trigger{Job: job, By: "tester", IdempotencyKey: strings.Join(key, "")})
	c, _ := k.claim(run.ID, "a")
	text := make([]byte, 20_000) // noise: what compresses well would stand in the row
	_, err := rand.Read(text)
	require.NoError(k.t, err)
	_, err = k.AppendConsole(k.ctx, c, 0, text)
	require.NoError(k.t, err)
	for name, size := range map[string]int{"first": 400, "second": 600} {
		_, err := k.PutResult(k.ctx, c, ci.Result{Name: name}, strings.NewReader(strings.Repeat("x", size)))
		require.NoError(k.t, err)
	}
	digest := sha256.Sum256(text)
	require.NoError(k.t, k.Finish(k.ctx, c, ci.End{Outcome: ci.OutcomeError, Console: ci.Console{Bytes: int64(len(text)), SHA256: hex.EncodeToString(digest[:])}}))
	k.exec("UPDATE runs SET done_at = ? WHERE id = ?", k.db.Now().Add(-ago).UnixMicro(), run.ID)
	return run
}

func (k *kept) exec(text string, args ...any) {
	k.t.Helper()
	require.NoError(k.t, k.db.Write(k.ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, text, args...)
		return err
	}))
}

func (k *kept) configure(change func(*ci.Config)) {
	k.t.Helper()
	c := ci.DefaultConfig()
	change(&c)
	require.NoError(k.t, c.Validate())
	require.NoError(k.t, k.db.Write(k.ctx, func(ctx context.Context, tx *store.Tx) error { return tx.PutConfig(ctx, &c, 0) }))
}

// has says what is left, as "1 run results console", after it has looked at
// every byte: whatever a run does not call expired has to be there, whole.
func (k *kept) has() (left []string) {
	k.t.Helper()
	runs, err := k.db.ListRuns(k.ctx, ci.RunFilter{}, 100)
	require.NoError(k.t, err)
	slices.Reverse(runs)
	for i := range runs {
		left = append(left, fmt.Sprint(runs[i].ID)+k.ofRun(&runs[i]))
	}
	return left
}

func (k *kept) ofRun(r *ci.Run) (has string) {
	results, err := k.db.ListResults(k.ctx, r.ID)
	require.NoError(k.t, err)
	require.Len(k.t, results, 2, "what there was is told")
	for _, result := range results {
		require.Equal(k.t, r.ResultsExpiredAt, result.ExpiredAt)
	}
	if r.ResultsExpiredAt.IsZero() {
		has += " results"
		for _, result := range results {
			body, err := k.Blobs.Get(k.ctx, engine.ResultKey(r.ID, result.Name), 0, -1)
			require.NoError(k.t, err, "run %d does not say that its results went", r.ID)
			data, err := io.ReadAll(body)
			require.NoError(k.t, errors.Join(err, body.Close()))
			require.Len(k.t, data, int(result.Size))
		}
	}
	if r.ConsoleExpiredAt.IsZero() {
		has += " console"
		sum, err := k.Console().Sum(k.ctx, r.ID)
		require.NoError(k.t, err, "run %d does not say that its console went", r.ID)
		require.Equal(k.t, r.Console.SHA256, sum.SHA256)
	}
	return has
}

// objects are the files that are there, by what is left of them: "1 results".
func (k *kept) objects() (found []string) {
	k.t.Helper()
	root := filepath.Join(k.dir, "objects")
	require.NoError(k.t, fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			parts := strings.Split(path, "/") // runs/1/results/first
			found = append(found, parts[1]+" "+parts[2])
		}
		return err
	}))
	slices.Sort(found)
	return slices.Compact(found)
}

// sound wants the objects to be those of what is left, and no others, and nothing to be left to do.
func (k *kept) sound() {
	k.t.Helper()
	var want []string
	for _, line := range k.has() {
		id, has, _ := strings.Cut(line, " ")
		for _, kind := range strings.Fields(has) {
			want = append(want, id+" "+kind)
		}
	}
	slices.Sort(want)
	require.Equal(k.t, want, k.objects(), "objects that nothing refers to, or none for what is there")
	trash, err := k.db.Trash(k.ctx, "", 10)
	require.NoError(k.t, err)
	require.Empty(k.t, trash)
}

// planned is what a plan says, as "1 run", in order; what stays all the same with its reason.
func planned(p *ci.RetentionPlan) (lines []string) {
	for _, x := range p.Items {
		line := fmt.Sprintf("%d %s", x.Run, x.What)
		if x.Kept != "" {
			line += ": " + x.Kept
		}
		lines = append(lines, line)
	}
	return lines
}
