package console

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/blob/file"
	"ci/backend/store"
	"ci/pkg/ci"
)

// memory is a DB without a database.
type memory struct {
	mu     sync.Mutex
	chunks map[int64][]ci.Chunk
}

func (m *memory) end(run int64) int64 {
	cs := m.chunks[run]
	if len(cs) == 0 {
		return 0
	}
	return cs[len(cs)-1].Offset + cs[len(cs)-1].Length
}

func (m *memory) AddChunk(_ context.Context, c ci.Chunk) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.end(c.Run) != c.Offset {
		return ci.Errorf(ci.CodeConflict, "the chunk at %d does not follow", c.Offset)
	}
	if m.chunks == nil {
		m.chunks = map[int64][]ci.Chunk{}
	}
	m.chunks[c.Run] = append(m.chunks[c.Run], c)
	return nil
}

func (m *memory) Chunks(_ context.Context, run, from int64, limit int) ([]ci.Chunk, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []ci.Chunk
	for _, c := range m.chunks[run] {
		if c.Offset+c.Length > from && len(out) < limit {
			out = append(out, c)
		}
	}
	return out, nil
}

func (m *memory) ConsoleTimes(ctx context.Context, run, from int64, limit int) ([]ci.ConsoleTime, error) {
	var out []ci.ConsoleTime
	list, err := m.Chunks(ctx, run, from, limit)
	for _, c := range list {
		out = append(out, ci.ConsoleTime{Offset: c.Offset, Length: c.Length, At: c.At})
	}
	return out, err
}

func (m *memory) ConsoleEnd(_ context.Context, run int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.end(run), nil
}

// database adds chunks to a real store, each in a transaction.
type database struct{ *store.Store }

func (d database) AddChunk(ctx context.Context, c ci.Chunk) error {
	return d.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.AddChunk(ctx, c) })
}

func openDatabase(t testing.TB) DB {
	s, err := store.Open(context.Background(), filepath.Join(t.TempDir(), "ci.db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return database{s}
}

func openFiles(t testing.TB) *file.Store {
	s, err := file.Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// each runs a test on both databases.
func each(t *testing.T, test func(t *testing.T, c *Console)) {
	t.Helper()
	for name, open := range map[string]func() DB{
		"memory": func() DB { return &memory{} },
		"sqlite": func() DB { return openDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			test(t, New(open(), openFiles(t)))
		})
	}
}

// output is n bytes like those of a program: text with repetitions.
func output(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		b.WriteString(time.Unix(int64(i)*7919, 0).UTC().Format(time.RFC3339))
		b.WriteString(" compiling package ")
		b.WriteString(strings.Repeat("x/", i%7))
		b.WriteString("main \x1b[32mok\x1b[0m\n")
	}
	return b.Bytes()[:n]
}
