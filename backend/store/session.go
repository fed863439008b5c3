package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// session runs SQL: on a pool, or inside one transaction. Its errors are
// ci.Errors (see fault).
type session interface {
	// query and exec run a text with ? for each argument. The text is prepared
	// once a connection, so there must be few different ones.
	query(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	// exec returns how many rows changed.
	exec(ctx context.Context, text string, args ...any) (int64, error)
	// list runs a text whose plan depends on its values: on Postgres they are
	// written into it, since a prepared plan does not see which are rare. A text
	// without args is never kept: bun has written what varies into it.
	list(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

// pool is a session over many SQLite connections, for reading.
type pool struct {
	db    *sql.DB
	stmts sync.Map // text → *sql.Stmt
}

func (p *pool) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, ok := p.stmts.Load(text); ok {
		return s.(*sql.Stmt), nil
	}
	// WithoutCancel: the statement outlives the first caller.
	s, err := p.db.PrepareContext(context.WithoutCancel(ctx), text)
	if err != nil {
		return nil, fault(err)
	}
	if first, there := p.stmts.LoadOrStore(text, s); there {
		_ = s.Close()
		s = first.(*sql.Stmt)
	}
	return s, nil
}

func (p *pool) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	s, err := p.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args...)
	return rows, fault(err)
}

func (p *pool) exec(context.Context, string, ...any) (int64, error) {
	return 0, errors.New("store: the pool of readers can't write")
}

func (p *pool) list(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if len(args) > 0 {
		return p.query(ctx, text, args...)
	}
	rows, err := p.db.QueryContext(ctx, text)
	return rows, fault(err)
}

// single is a session on one SQLite connection: the writer's. No statement on
// it is ever interrupted, since SQLite would roll back the whole transaction,
// with the work of everybody who shares it.
type single struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func (s *single) prepare(text string) (*sql.Stmt, error) {
	if stmt, ok := s.stmts[text]; ok {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, fault(err)
	}
	s.stmts[text] = stmt
	return stmt, nil
}

func (s *single) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stmt, err := s.prepare(text)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(context.WithoutCancel(ctx), args...)
	return rows, fault(err)
}

func (s *single) exec(ctx context.Context, text string, args ...any) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	stmt, err := s.prepare(text)
	if err != nil {
		return 0, err
	}
	return affected(stmt.ExecContext(context.WithoutCancel(ctx), args...))
}

func (s *single) list(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if len(args) > 0 {
		return s.query(ctx, text, args...)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows, err := s.conn.QueryContext(context.WithoutCancel(ctx), text)
	return rows, fault(err)
}

// sqlDB is what *sql.DB and *sql.Tx share.
type sqlDB interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// server is a session on Postgres, on its pool or in a transaction. pgx itself
// prepares and keeps what has arguments.
type server struct {
	db    sqlDB
	d     *dialect
	texts *sync.Map // text with ? → text with $1
}

func (s *server) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	rows, err := s.db.QueryContext(ctx, s.numbered(text), args...)
	return rows, fault(err)
}

func (s *server) exec(ctx context.Context, text string, args ...any) (int64, error) {
	return affected(s.db.ExecContext(ctx, s.numbered(text), args...))
}

// list keeps pgx from preparing what comes only once.
func (s *server) list(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if len(args) > 0 {
		text = s.d.format(text, args...)
	}
	rows, err := s.db.QueryContext(ctx, text, pgx.QueryExecModeSimpleProtocol)
	return rows, fault(err)
}

// numbered writes $1, $2, … for each ?. None of our texts holds a ? in quotes.
func (s *server) numbered(text string) string {
	if t, ok := s.texts.Load(text); ok {
		return t.(string)
	}
	var b strings.Builder
	for i, part := range strings.Split(text, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	s.texts.Store(text, b.String())
	return b.String()
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, fault(err)
	}
	n, err := r.RowsAffected()
	return n, fault(err)
}

func isBadConn(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}
