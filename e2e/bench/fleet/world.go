package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ci/backend/blob/file"
	"ci/backend/engine"
	"ci/backend/queue/nats"
	"ci/backend/store"
	"ci/backend/store/storetest"
	"ci/backend/store/storetest/postgres"
	"ci/pkg/ci"
)

// world is what a fleet shares: a database, a broker, and two cids' engines.
type world struct {
	owner
	kind   string
	url    string // of the database
	broker *server.Server
	db     *store.Store // of the agents; on SQLite everybody's
	mu     sync.Mutex   // of what agents add to, beside each other
	stores []*store.Store
	cids   []*engine.Engine
	claims *claims
	stored int
	own    bool   // each agent opens the database for itself
	spool  string // where agents would keep results on their way
	end    context.CancelFunc
	wait   sync.WaitGroup
}

var log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))

const job = "fleet"

func newWorld(ctx context.Context, kind string) (w *world, err error) {
	w = &world{kind: kind, claims: &claims{at: map[int64]time.Duration{}}}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := w.try(func() { w.url, w.spool = w.database(), w.TempDir() }); err != nil {
		return w, err
	}
	if err := w.startBroker(); err != nil {
		return w, err
	}
	if w.db, err = w.open(ctx); err != nil {
		return w, err
	}
	if err := w.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.PutJob(ctx, &ci.Job{Name: job, Freestyle: []byte(`{"script":"print hello"}`)}, 0)
		return err
	}); err != nil {
		return w, err
	}
	life, end := context.WithCancel(context.Background())
	w.end = end
	for range 2 {
		if err := w.addCid(ctx, life); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *world) database() string {
	if w.kind == "sqlite" {
		return "sqlite:" + filepath.Join(w.TempDir(), "ci.db")
	}
	return postgres.Start(w).Database(w)
}

func (w *world) open(ctx context.Context) (*store.Store, error) {
	db, err := store.Open(ctx, w.url, log)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stores = append(w.stores, db)
	w.later(db.Close)
	return db, nil
}

// startBroker starts a NATS server with a listener, as another process would have.
func (w *world) startBroker() error {
	n, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: w.TempDir(), NoSigs: true, NoLog: true, SyncAlways: true})
	if err != nil {
		return err
	}
	n.Start()
	w.broker = n
	w.later(func() error { n.Shutdown(); n.WaitForShutdown(); return nil })
	if !n.ReadyForConnections(time.Minute) {
		return errors.New("the NATS server is not ready after a minute")
	}
	return nil
}

// addCid starts the loops of one cid. On Postgres it has connections of its own.
func (w *world) addCid(ctx, life context.Context) (err error) {
	db := w.db
	if w.kind == "postgres" {
		if db, err = w.open(ctx); err != nil {
			return err
		}
	}
	e, err := w.engine(db)
	if err != nil {
		return err
	}
	w.cids = append(w.cids, e)
	w.wait.Go(func() {
		if err := e.Run(life); err != nil && life.Err() == nil {
			log.Error("a cid ended", "err", err)
		}
	})
	return nil
}

// engine makes an engine with a connection of its own to the broker.
func (w *world) engine(db *store.Store) (*engine.Engine, error) {
	q, err := nats.Open(nats.Config{URL: w.broker.ClientURL(), Log: log})
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.later(q.Close)
	blobs, err := file.Open(w.TempDir())
	if err != nil {
		return nil, err
	}
	return engine.New(engine.Config{Store: db, Queue: q, Bus: q.Bus(), Blobs: blobs, Log: log, Observe: w.claims.observe})
}

// store adds done runs, by the hundred thousand if need be.
func (w *world) store(ctx context.Context, n int) error {
	if err := storetest.Seed(ctx, w.db, n); err != nil {
		return fmt.Errorf("store %d runs: %w", n, err)
	}
	w.stored += n
	return nil
}

func (w *world) close() {
	if w.end != nil {
		w.end()
	}
	w.wait.Wait()
	w.owner.end()
}

// claims are how long runs took from their trigger to their claim.
type claims struct {
	mu   sync.Mutex
	at   map[int64]time.Duration
	lost int           // that have not succeeded
	done chan struct{} // told when one more is done
}

func (c *claims) observe(r *ci.Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[r.ID] = r.Times.Claimed.Sub(r.Times.Triggered)
	if r.Outcome != ci.OutcomeSucceeded {
		c.lost++
	}
	if c.done != nil {
		select {
		case c.done <- struct{}{}:
		default:
		}
	}
}

// begin forgets what was and returns a channel that tells of each change.
func (c *claims) begin() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.lost, c.done = map[int64]time.Duration{}, 0, make(chan struct{}, 1)
	return c.done
}

func (c *claims) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.at)
}

func (c *claims) failures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

func (c *claims) all() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]time.Duration, 0, len(c.at))
	for _, d := range c.at {
		all = append(all, d)
	}
	return all
}
