package chaos

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/backend/store"
	"ci/e2e/rig"
)

// close ends the fleet in order: every agent is drained and leaves nothing, the
// database tells of each run once, what is stored is whole, and no secret is anywhere.
func (f *fleet) close() {
	t := f.t
	f.idle()
	for i, m := range f.machines {
		require.NotZero(t, f.carried[m.id], "agent %s has carried out nothing: %v", m.id, f.carried)
		require.NoError(t, m.Stop(2*time.Minute))
		if i != inBox {
			require.NoError(t, rig.Clean(f.ctx, m.id))
		}
	}
	require.NoError(t, f.box.Bare(f.ctx))
	f.same("in the end", f.kept)
	db, err := store.Open(f.ctx, f.database, discard())
	require.NoError(t, err)
	defer db.Close()
	onceDone(f.ctx, t, db, len(f.made))
	f.stored()
	f.secret()
}

// idle waits until no agent has a file of a run any more, with a name or without.
func (f *fleet) idle() {
	f.t.Helper()
	for i, m := range f.machines {
		require.NoError(f.t, rig.Poll(f.ctx, cleared, func() error {
			files, err := f.files(i)
			files = slices.DeleteFunc(files, func(name string) bool { return name == "" || filepath.Base(name) == "agent.sock" })
			if err == nil && len(files) > 0 {
				err = fmt.Errorf("agent %s has %v", m.id, files)
			}
			return err
		}))
	}
}

func (f *fleet) files(i int) (all []string, err error) {
	if i == inBox {
		return f.box.Files(f.ctx)
	}
	dir := filepath.Join(f.dir, fmt.Sprint("agent", i))
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, path)
		}
		return err
	})
	open, globErr := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", f.machines[i].Pid()))
	for _, fd := range open {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir+"/") {
			all = append(all, to)
		}
	}
	return all, errors.Join(err, globErr)
}

// stored compares what S3 has with what the database says: all that it names is
// there, and nothing else, but for what a killed process was about to name. That
// is of a run that the database knows, with which it goes.
func (f *fleet) stored() {
	t := f.t
	t.Helper()
	conn, err := pgx.Connect(f.ctx, f.database)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(f.ctx)) }()
	column := func(query string) (all []string) {
		rows, err := conn.Query(f.ctx, query)
		require.NoError(t, err)
		all, err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return all
	}
	named, loud := map[string]bool{}, map[string]bool{}
	for _, key := range column("SELECT blob_key FROM chunks WHERE blob_key <> ''") {
		named[key] = true
		loud[strings.Split(key, "/")[1]] = true
	}
	rows, err := conn.Query(f.ctx, "SELECT run, name FROM results WHERE expired_at IS NULL")
	require.NoError(t, err)
	var run int64
	var name string
	_, err = pgx.ForEachRow(rows, []any{&run, &name}, func() error { named[engine.ResultKey(run, name)] = true; return nil })
	require.NoError(t, err)
	trash := column("SELECT prefix FROM trash")
	known := map[string]bool{}
	for _, id := range column("SELECT CAST(id AS TEXT) FROM runs") {
		known[id] = true
	}
	there := map[string]bool{}
	var unnamed []string
	for _, key := range f.objects.Keys(t, "fleet") {
		there[key] = true
		if named[key] || slices.ContainsFunc(trash, func(p string) bool { return strings.HasPrefix(key, p) }) {
			continue
		}
		unnamed = append(unnamed, key)
		if parts := strings.Split(key, "/"); parts[0] != "check" && (parts[0] != "runs" || !known[parts[1]]) {
			t.Errorf("S3 has %s, which is of no run", key)
		}
	}
	for key := range named {
		if !there[key] {
			t.Errorf("the database names %s, which S3 does not have", key)
		}
	}
	for _, r := range f.made {
		if r.loud && !loud[fmt.Sprint(r.id)] && slices.ContainsFunc(f.kept, func(e ended) bool { return e.id == r.id && e.saved != "" }) {
			t.Errorf("run %d printed much, and none of it is in S3", r.id)
		}
	}
	t.Logf("%d objects are named, of %d consoles among others; %d are not yet: %v", len(named), len(loud), len(unnamed), unnamed)
	require.LessOrEqual(t, len(unnamed), 2*len(f.faults), "objects that nobody names are what few kills leave")
	require.NotEmpty(t, loud, "no console was large enough for S3")
}

// secret looks for the canary in all that is written: what the processes said
// and stored, the queue, S3, and the whole database (I8).
func (f *fleet) secret() {
	t := f.t
	t.Helper()
	forms := canaryForms(f.canary)
	look := func(where string, text []byte) {
		for form, is := range forms {
			if bytes.Contains(text, []byte(is)) {
				t.Errorf("%s has the secret, %s", where, form)
			}
		}
	}
	logs := 0
	for _, dir := range []string{f.dir, f.objects.Data, filepath.Dir(f.postgres.Socket())} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || strings.HasSuffix(path, "nats-server") || strings.Contains(path, "/data/base/") {
				return err
			}
			text, err := os.ReadFile(path)
			look(path, text)
			if strings.HasSuffix(path, "log") {
				logs++
			}
			return err
		}))
	}
	require.Greater(t, logs, 6, "the logs of two cids, two agents and three NATS servers were read, and Postgres'")
	look("the box's log", []byte(f.box.Said(f.ctx)))
	look("the recorder", []byte(strings.Join(f.recorder.Words(), "\n")))
	dump := f.dump()
	require.True(t, bytes.Contains(dump, []byte("CANARY")), "the dump of the database has the secret's name")
	look("the database", dump)
}

// canaryForms are the ways in which a secret is written by what does not mean to hide it.
func canaryForms(secret string) map[string]string {
	forms := map[string]string{"as it is": secret, "in hexadecimal": hex.EncodeToString([]byte(secret))}
	for shift := range 3 { // a group of base64 begins at any of three bytes
		whole := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		forms[fmt.Sprintf("in base64 (%d)", shift)] = whole[4 : len(whole)-4]
	}
	return forms
}

// dump is the whole database, as COPY writes it.
func (f *fleet) dump() []byte {
	f.t.Helper()
	conn, err := pgx.Connect(f.ctx, f.database)
	require.NoError(f.t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(f.ctx)) }()
	rows, err := conn.Query(f.ctx, "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
	require.NoError(f.t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(f.t, err)
	var all bytes.Buffer
	for _, table := range tables {
		_, err := conn.PgConn().CopyTo(f.ctx, &all, "COPY "+table+" TO STDOUT")
		require.NoError(f.t, err)
	}
	return all.Bytes()
}
