package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ci/backend/store"
)

// stats adds up what all stores of the world have done.
func (w *world) stats() (all store.Stats) {
	for _, db := range w.stores {
		s := db.Stats()
		all.Statements += s.Statements
		all.Transactions += s.Transactions
	}
	return all
}

// messages counts what the broker has received, from everybody.
func (w *world) messages() int64 {
	v, err := w.broker.Varz(&server.VarzOptions{})
	if err != nil {
		return 0
	}
	return v.InMsgs
}

// written is how many bytes the database has logged since its beginning: the
// write-ahead log of Postgres (without whole pages, as the server is set up),
// or the pages that SQLite's file has grown to.
func (w *world) written(ctx context.Context) (int64, error) {
	if path, ok := strings.CutPrefix(w.url, "sqlite:"); ok {
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	return w.ask(ctx, "SELECT CAST(pg_current_wal_lsn() - '0/0' AS BIGINT)")
}

// connections is how many Postgres serves, without the one that asks; 0 for SQLite.
func (w *world) connections(ctx context.Context) (int, error) {
	if w.kind == "sqlite" {
		return 0, nil
	}
	n, err := w.ask(ctx, "SELECT COUNT(*) - 1 FROM pg_stat_activity WHERE datname = current_database()")
	return int(n), err
}

// ask asks Postgres for a number, past the store.
func (w *world) ask(ctx context.Context, text string) (n int64, err error) {
	db, err := sql.Open("pgx", w.url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	err = db.QueryRowContext(ctx, text).Scan(&n)
	return n, err
}

// table prints a line for each measurement, and how it compares with the first of its kind.
type table struct {
	w     *tabwriter.Writer
	first map[string]float64
}

func newTable(to io.Writer, kind string) *table {
	t := &table{w: tabwriter.NewWriter(to, 0, 4, 2, ' ', 0), first: map[string]float64{}}
	fmt.Fprintf(t.w, "%s\tagents\tstored\truns/s\tlost\tstatements\tcommits\tbytes\tmessages\tCPU\tconnections\tclaim p50\tp95\tp99\t×\n", strings.ToUpper(kind))
	return t
}

func (t *table) flush() { _ = t.w.Flush() }

// row prints costs for each run, or for each agent and second of an idle fleet.
func (t *table) row(what string, agents, stored int, c *cost, claims []time.Duration) {
	per, rate, lost, unit := float64(agents)*c.took.Seconds(), "", "", "/agent/s"
	if c.runs > 0 {
		per, rate, lost, unit = float64(c.runs), fmt.Sprintf("%.0f", float64(c.runs)/c.took.Seconds()), fmt.Sprint(c.lost), "/run"
	}
	statements := max(float64(c.statements)/per, 0.01) // what is left of almost nothing is no ratio
	key := what[:min(4, len(what))]
	if t.first[key] == 0 {
		t.first[key] = statements
	}
	fmt.Fprintf(t.w, "%s\t%d\t%d\t%s\t%s\t%.2f%s\t%.2f\t%.0f\t%.2f\t%s\t%d\t%s\t%s\t%s\t%.2f\n", what, agents, stored, rate, lost,
		statements, unit, float64(c.transactions)/per, float64(c.written)/per, float64(c.asks)/per,
		(c.cpu / time.Duration(max(1, int64(per)))).Round(10*time.Microsecond), c.connections,
		quantile(claims, 0.50), quantile(claims, 0.95), quantile(claims, 0.99), statements/t.first[key])
	fmt.Fprintf(os.Stderr, "%s, %d agents: measured\n", what, agents)
}

// quantile is "" for no values.
func quantile(ds []time.Duration, q float64) string {
	if len(ds) == 0 {
		return ""
	}
	return at(ds, q).Round(100 * time.Microsecond).String()
}

func at(ds []time.Duration, q float64) time.Duration {
	ds = slices.Sorted(slices.Values(ds))
	return ds[min(len(ds)-1, int(q*float64(len(ds))))]
}
