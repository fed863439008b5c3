package store

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"ci/pkg/ci"
)

// errClosed is what every call on a closed Store gets.
func errClosed() error {
	return ci.Errorf(ci.CodeUnavailable, "the database is closed: the server is shutting down")
}

// fault gives an engine's error a code and a sentence. What is a ci.Error
// already, and the end of a context, stay as they are.
func fault(err error) error {
	var known *ci.Error
	var lite *sqlite.Error
	var pg *pgconn.PgError
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case strings.HasPrefix(err.Error(), "sql: ") && strings.HasSuffix(err.Error(), " is closed"):
		return errClosed() // database/sql has no other sign of it
	case errors.As(err, &lite):
		return sqliteFault(lite)
	case errors.As(err, &pg):
		return postgresFault(pg)
	case unreachable(err):
		return &ci.Error{Code: ci.CodeUnavailable, Message: "the database can't be reached; try again", Cause: err}
	}
	return &ci.Error{Code: ci.CodeInternal, Message: "the database refused a statement of ours", Cause: err}
}

// unreachable says whether the connection, not the statement, is at fault.
func unreachable(err error) bool {
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || isBadConn(err)
}

// sqliteFault follows the primary result codes of https://sqlite.org/rescode.html.
func sqliteFault(err *sqlite.Error) error {
	say := func(code ci.Code, sentence string) error {
		return &ci.Error{Code: code, Message: sentence, Cause: err}
	}
	switch err.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return say(ci.CodeUnavailable, "the disk of the database is full; nothing was written. Make room and try again")
	case sqlite3.SQLITE_READONLY:
		return say(ci.CodeUnavailable, "the database file, its folder or its file system is read-only; nothing was written")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return say(ci.CodeUnavailable, "the database is locked by another process for too long; try again")
	case sqlite3.SQLITE_IOERR:
		return say(ci.CodeUnavailable, "the disk of the database failed to read or write; the server's log says more")
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return say(ci.CodeUnavailable, "the database file can't be opened; the server's log says more")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return say(ci.CodeUnavailable, "the database file is damaged, or is no SQLite database; restore it from a backup")
	case sqlite3.SQLITE_TOOBIG:
		return say(ci.CodeTooLarge, "a value is too large for the database")
	}
	return say(ci.CodeInternal, "the database refused a statement of ours")
}

// postgresFault follows https://www.postgresql.org/docs/current/errcodes-appendix.html.
func postgresFault(err *pgconn.PgError) error {
	say := func(code ci.Code, sentence string) error {
		return &ci.Error{Code: code, Message: sentence, Cause: err}
	}
	switch class := err.Code[:min(2, len(err.Code))]; {
	case err.Code == "22021" || err.Code == "22P05":
		return say(ci.CodeInvalid, "a text holds a character that the database can't store: NUL, or invalid UTF-8")
	case err.Code == "25006":
		return say(ci.CodeUnavailable, "the database is read-only at the moment (a standby, or a failover in progress); try again")
	case err.Code == "53100":
		return say(ci.CodeUnavailable, "the disk of the database is full; nothing was written. Make room and try again")
	case err.Code == "57014":
		return say(ci.CodeUnavailable, "the database gave up on a statement that took too long; try again")
	case class == "28" || class == "3D" || class == "42" && err.Code == "42501":
		return say(ci.CodeUnavailable, "the database refuses our user or knows no such database: "+err.Message)
	case class == "08" || class == "53" || class == "57" || class == "40" || class == "58" || class == "55":
		return say(ci.CodeUnavailable, "the database can't do it at the moment; try again ("+strings.ToLower(err.Message)+")")
	}
	return say(ci.CodeInternal, "the database refused a statement of ours")
}

// doubled says whether a statement failed because a unique index has the value already.
func doubled(err error) bool {
	var lite *sqlite.Error
	var pg *pgconn.PgError
	return errors.As(err, &lite) && lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || errors.As(err, &pg) && pg.Code == "23505"
}

// again says whether a transaction failed only because of another one beside it.
func again(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}
