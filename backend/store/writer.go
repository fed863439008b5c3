package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"ci/pkg/ci"
)

// writer owns SQLite's one writing connection. Transactions that wait at the
// same time share one commit, so one wait for the disk serves them all: each
// runs in a savepoint of its own, inside one BEGIN IMMEDIATE … COMMIT.
//
// Every function runs in its caller's goroutine, when the writer gives it the
// turn: a panic is its caller's, and can't end the writer.
type writer struct {
	db     *sql.DB // of one connection
	lane   *single // nil until opened, and after a failure of the connection
	turns  chan *turn
	stop   chan struct{}
	closed chan struct{}
}

const (
	// maxShared and maxShareTime bound how much shares a commit: the first to
	// come waits for the last.
	maxShared    = 128
	maxShareTime = 20 * time.Millisecond
)

// turn is one transaction's place in the queue.
type turn struct {
	start chan begun    // the writer: go, or why not
	gone  chan struct{} // closed by a caller that waits no more
	ended chan error    // the caller: how its function ended
	done  chan error    // the writer: committed, or why not
}

// offer says whether the caller took what it waited for.
func (t *turn) offer(b begun) bool {
	select {
	case t.start <- b:
		return true
	case <-t.gone:
		return false
	}
}

type begun struct {
	s   session
	err error
}

// errUnwound stands for a function that ended by panic or runtime.Goexit.
var errUnwound = errors.New("store: the transaction's function did not return")

func newWriter(db *sql.DB) *writer {
	w := &writer{db: db, turns: make(chan *turn), stop: make(chan struct{}), closed: make(chan struct{})}
	go w.loop()
	return w
}

// close lets the transaction at hand finish and refuses all others.
func (w *writer) close() {
	close(w.stop)
	<-w.closed
}

// write queues fn, runs it when its turn comes, and returns when it is on the
// disk, or fn's own error when it is not. ctx counts while fn waits and while
// it runs; once fn has returned nil the outcome is waited for.
func (w *writer) write(ctx context.Context, fn func(s session) error) error {
	t := &turn{start: make(chan begun), gone: make(chan struct{}), ended: make(chan error, 1), done: make(chan error, 1)}
	select {
	case w.turns <- t:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stop:
		return errClosed()
	}
	var b begun
	select {
	case b = <-t.start:
	case <-ctx.Done():
		close(t.gone)
		return ctx.Err()
	}
	if b.err != nil {
		return b.err
	}
	t.ended <- t.call(ctx, b.s, fn)
	return <-t.done
}

func (t *turn) call(ctx context.Context, s session, fn func(s session) error) error {
	returned := false
	defer func() {
		if !returned {
			t.ended <- errUnwound // and on it goes, up the caller's stack
		}
	}()
	err := ctx.Err()
	if err == nil {
		err = fn(s)
	}
	returned = true
	return err
}

func (w *writer) loop() {
	defer close(w.closed)
	defer w.drop()
	for {
		select {
		case t := <-w.turns:
			w.share(t)
		case <-w.stop:
			return
		}
	}
}

// share runs one commit's worth of turns, beginning with t.
func (w *writer) share(t *turn) {
	if err := w.begin(); err != nil {
		t.offer(begun{err: err})
		return
	}
	began := time.Now()
	var waiting []*turn
	var broken error
	for {
		var ok bool
		if ok, broken = w.run(t); ok {
			waiting = append(waiting, t)
		}
		if broken != nil || len(waiting) >= maxShared || time.Since(began) > maxShareTime {
			break
		}
		if t = w.next(); t == nil {
			break
		}
	}
	if broken == nil {
		broken = w.do("COMMIT")
	}
	if broken != nil {
		_ = w.do("ROLLBACK") // fails when SQLite has done so already
	}
	for _, t := range waiting {
		t.done <- broken
	}
}

// next is a turn that waits already, or nil.
func (w *writer) next() *turn {
	select {
	case t := <-w.turns:
		return t
	default:
		return nil
	}
}

// run gives t the turn. ok: its work stands and waits for the commit.
// broken: the whole transaction is lost, as after a full disk.
func (w *writer) run(t *turn) (ok bool, broken error) {
	if err := w.do("SAVEPOINT turn"); err != nil {
		t.offer(begun{err: err})
		return false, err
	}
	if !t.offer(begun{s: w.lane}) {
		return false, w.do("RELEASE turn")
	}
	err := <-t.ended
	if err == nil {
		if err = w.do("RELEASE turn"); err != nil {
			t.done <- err
			return false, err
		}
		return true, nil
	}
	t.done <- err
	if undo := w.do("ROLLBACK TO turn"); undo != nil {
		return false, lostShare(err)
	}
	return false, w.do("RELEASE turn")
}

// lostShare is what the others of a commit get when SQLite has rolled back all
// of it because of one.
func lostShare(cause error) error {
	if err := fault(cause); ci.CodeOf(err) == ci.CodeUnavailable {
		return err
	}
	return ci.Errorf(ci.CodeUnavailable, "the database rolled back a commit that this change shared with another; nothing was written. Try again")
}

func (w *writer) begin() error {
	if w.lane == nil {
		conn, err := w.db.Conn(context.Background())
		if err != nil {
			return fault(err)
		}
		w.lane = &single{conn: conn, stmts: map[string]*sql.Stmt{}}
	}
	err := w.do("BEGIN IMMEDIATE")
	if err != nil && isBadConn(err) {
		w.drop()
	}
	return err
}

func (w *writer) do(text string) error {
	_, err := w.lane.exec(context.Background(), text)
	return err
}

// drop gives up the connection; the next begin opens another.
func (w *writer) drop() {
	if w.lane == nil {
		return
	}
	for _, s := range w.lane.stmts {
		_ = s.Close()
	}
	_ = w.lane.conn.Close()
	w.lane = nil
}
