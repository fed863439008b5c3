package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"ci/backend/blob/file"
	"ci/backend/engine"
	"ci/backend/queue/nats"
	"ci/backend/store"
	"ci/pkg/ci"
)

const commit = "0123456789012345678901234567890123456789"

// world is an engine with everything real but git.
type world struct {
	*engine.Engine
	t       *testing.T
	ctx     context.Context
	db      *store.Store
	queue   *nats.Driver
	planner *planner
}

// planner answers for a git host.
type planner struct {
	mu   sync.Mutex
	file string
	errs []error // for the next calls
	// more are further files of the commit, readErrs what the next reads of them fail with.
	more     map[string]string
	readErrs []error
	asks     int
	access   ci.GitAccess // the last one
}

func (p *planner) Plan(_ context.Context, _ ci.Git, access ci.GitAccess, sha, _ string, parse func(string, []byte, func(string) ([]byte, error)) error) error {
	file, err := p.next(access)
	if err != nil {
		return err
	}
	if sha == "" {
		sha = commit
	}
	return parse(sha, []byte(file), p.read)
}

func (p *planner) next(access ci.GitAccess) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asks++
	p.access = access
	if len(p.errs) > 0 {
		err := p.errs[0]
		p.errs = p.errs[1:]
		return "", err
	}
	return p.file, nil
}

// read answers for the further files of the commit.
func (p *planner) read(path string) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.readErrs) > 0 {
		err := p.readErrs[0]
		p.readErrs = p.readErrs[1:]
		return nil, err
	}
	if file, ok := p.more[path]; ok {
		return []byte(file), nil
	}
	return nil, ci.Errorf(ci.CodeNotFound, "file %s does not exist", path)
}

func setup(t *testing.T, change ...func(*engine.Config)) *world {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "ci.db"), log)
	require.NoError(t, err)
	q, err := nats.Open(nats.Config{Dir: filepath.Join(dir, "queue"), Log: log})
	require.NoError(t, err)
	blobs, err := file.Open(filepath.Join(dir, "blobs"))
	require.NoError(t, err)
	w := &world{t: t, ctx: ctx, db: db, queue: q, planner: &planner{file: "script: make test\n"}}
	c := engine.Config{
		Store: db, Queue: q, Bus: q.Bus(), Blobs: blobs, Planner: w.planner, Log: log, URL: "http://ci.test/",
		Sweep: 20 * time.Millisecond,
	}
	for _, f := range change {
		f(&c)
	}
	w.Engine, err = engine.New(c)
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		require.NoError(t, errors.Join(q.Close(), db.Close()))
	})
	return w
}

// loops runs the engine's loops until the test ends.
func (w *world) loops() {
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.t.Cleanup(func() { cancel(); require.NoError(w.t, <-done) })
}

func (w *world) put(j ci.Job) {
	w.t.Helper()
	require.NoError(w.t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.PutJob(ctx, &j, 0)
		return err
	}))
}

func (w *world) freestyle() {
	w.put(ci.Job{
		Name: "hello", Freestyle: []byte(`{"script":"echo hello","timeout":"5m"}`),
		Parameters: []ci.Parameter{{Name: "LEVEL", Default: "1"}, {Name: "MUST", Required: true}},
	})
}

func (w *world) git() {
	w.put(ci.Job{Name: "unit", Git: &ci.Git{URL: "https://git.test/x.git", ConfigPath: "ci/unit.yaml"}})
}

var hello = ci.Trigger{Job: "hello", Parameters: map[string]string{"MUST": "x"}, By: "tester"}

func (w *world) trigger(t ci.Trigger) *ci.Run {
	w.t.Helper()
	r, _, err := w.Trigger(w.ctx, t)
	require.NoError(w.t, err)
	return r
}

// claim makes a claim and expects it to succeed.
func (w *world) claim(run int64, agent string) (ci.Claim, *ci.Work) {
	w.t.Helper()
	c := ci.Claim{Run: run, Agent: agent, ID: uuid.NewString()}
	work, err := w.Claim(w.ctx, c)
	require.NoError(w.t, err)
	return c, work
}

// wait returns the run once it is as far as u.
func (w *world) wait(id int64, u ci.Until) *ci.Run {
	w.t.Helper()
	r, err := w.Wait(w.ctx, "", id, u, time.Minute)
	require.NoError(w.t, err)
	require.True(w.t, r.Reached(u), "run %d is %s/%s", id, r.Status, r.Phase)
	return r
}

func code(err error) ci.Code { return ci.CodeOf(err) }
