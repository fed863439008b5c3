package store

import (
	"context"
	"database/sql"
	"sync/atomic"
)

// Stats counts what a Store has asked of its database since it was opened.
type Stats struct {
	// Statements are all but BEGIN and COMMIT, of reads and of transactions.
	Statements int64
	// Transactions are the writing ones. On SQLite several may share a commit.
	Transactions int64
}

// Stats returns the counts so far.
func (s *Store) Stats() Stats {
	return Stats{Statements: s.counts.statements.Load(), Transactions: s.counts.transactions.Load()}
}

type counts struct{ statements, transactions atomic.Int64 }

// counted is a session whose statements are counted.
type counted struct {
	session
	*counts
}

func (c counted) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	c.statements.Add(1)
	return c.session.query(ctx, text, args...)
}

func (c counted) exec(ctx context.Context, text string, args ...any) (int64, error) {
	c.statements.Add(1)
	return c.session.exec(ctx, text, args...)
}

func (c counted) list(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	c.statements.Add(1)
	return c.session.list(ctx, text, args...)
}
