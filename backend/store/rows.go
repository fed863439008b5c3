package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A table is described by two things that stand side by side: a constant with
// its columns, and a function that returns, in the same order, where in the
// word of pkg/ci each column lives. The same places serve to write and to read.

// insertText is INSERT INTO table (fields) VALUES (?, …), with n values.
func insertText(table, fields string, n int) string {
	return "INSERT INTO " + table + " (" + fields + ") VALUES (" + marks(n) + ")"
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

func join(parts []string) string { return strings.Join(parts, ", ") }

// values turns places into arguments.
func values(places []any) []any {
	args := make([]any, len(places))
	for i, p := range places {
		args[i] = value(p)
	}
	return args
}

func value(place any) any {
	switch p := place.(type) {
	case *string:
		return *p
	case *int64:
		return *p
	case *bool:
		return *p
	case *float64:
		return *p
	case *int:
		return int64(*p)
	case **int:
		if *p == nil {
			return nil
		}
		return int64(**p)
	case *[]byte:
		if *p == nil {
			return nil
		}
		return *p
	}
	return place // a driver.Valuer
}

// one scans the only row of a query into a T; nil when there is none.
func one[T any](ctx context.Context, s session, places func(*T) []any, text string, args ...any) (*T, error) {
	list, err := many(ctx, s, places, text, args...)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// many scans all rows of a query. It never returns nil without an error.
func many[T any](ctx context.Context, s session, places func(*T) []any, text string, args ...any) (list []T, err error) {
	limited, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.query(limited, text, args...)
	if err == nil {
		list, err = scan(rows, places)
	}
	return list, silent(ctx, err)
}

// listed is many for a text whose plan depends on its values; see session.
func listed[T any](ctx context.Context, s session, places func(*T) []any, text string, args ...any) (list []T, err error) {
	limited, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.list(limited, text, args...)
	if err == nil {
		list, err = scan(rows, places)
	}
	return list, silent(ctx, err)
}

// scan reads rows to their end and closes them.
func scan[T any](rows rows, places func(*T) []any) (list []T, err error) {
	defer func() {
		if closeErr := rows.Close(); err == nil && closeErr != nil {
			list, err = nil, fault(closeErr)
		}
	}()
	var row T
	at := places(&row)
	list = []T{}
	for rows.Next() {
		var blank T
		row = blank
		if err := rows.Scan(at...); err != nil {
			return nil, fault(err)
		}
		list = append(list, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fault(err)
	}
	return list, nil
}

// rows is what scan needs of *sql.Rows.
type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

func idPlaces(id *int64) []any { return []any{id} }

func textPlaces(s *string) []any { return []any{s} }

// stamp keeps a time as whole microseconds since 1970; the zero time is NULL.
type stamp struct{ t *time.Time }

// Value implements driver.Valuer.
func (s stamp) Value() (driver.Value, error) { return micros(*s.t), nil }

// Scan implements sql.Scanner.
func (s stamp) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*s.t = time.Time{}
	case int64:
		*s.t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a time is stored as %T, not as microseconds", src)
	}
	return nil
}

// micros is a time as it is stored.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// document keeps a value as JSON text; a nil pointer, map or slice is NULL.
type document struct{ v any }

// Value implements driver.Valuer.
func (d document) Value() (driver.Value, error) {
	b, err := json.Marshal(d.v)
	if err != nil || string(b) == "null" {
		return nil, err
	}
	return string(b), nil
}

// Scan implements sql.Scanner.
func (d document) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(v), d.v)
	case []byte:
		return json.Unmarshal(v, d.v)
	}
	return fmt.Errorf("a JSON document is stored as %T, not as text", src)
}

// raw keeps bytes that are text already; none is NULL.
type raw struct{ b *[]byte }

// Value implements driver.Valuer.
func (r raw) Value() (driver.Value, error) {
	if len(*r.b) == 0 {
		return nil, nil
	}
	return string(*r.b), nil
}

// Scan implements sql.Scanner.
func (r raw) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*r.b = nil
	case string:
		*r.b = []byte(v)
	case []byte:
		*r.b = append([]byte(nil), v...)
	}
	return nil
}
