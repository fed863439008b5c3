package console

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func packed(t *testing.T, plain []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	defer func() { _ = enc.Close() }()
	return enc.EncodeAll(plain, nil)
}

// TestDamagedIndex has chunks that Append has not written. None may cost more
// memory than a piece, or be taken for what the run printed. It is not
// parallel, since it measures the memory of the whole process.
func TestDamagedIndex(t *testing.T) {
	bomb := packed(t, make([]byte, 256<<20))
	for name, chunk := range map[string]ci.Chunk{
		"garbage":              {Length: 10, Data: []byte("garbage")},
		"nothing":              {Length: 10},
		"longer than it says":  {Length: 9, Data: packed(t, make([]byte, 10))},
		"shorter than it says": {Length: 11, Data: packed(t, make([]byte, 10))},
		"cut":                  {Length: 5000, Data: packed(t, noise(5000))[:3000]},
		"a bomb":               {Length: 1 << 20, Data: bomb},
		"too long":             {Length: 1<<20 + 1, Data: packed(t, make([]byte, 1<<20+1))},
		"endless":              {Length: 1 << 62, Data: packed(t, make([]byte, 10))},
		"negative":             {Length: -1, Data: packed(t, make([]byte, 10))},
		"a hole":               {Offset: 5, Length: 10, Data: packed(t, make([]byte, 10))},
		"no such object":       {Length: 10, Key: "runs/1/console/none"},
		"another object":       {Length: 10, Key: "runs/1/console/bomb"},
	} {
		t.Run(name, func(t *testing.T) {
			files := openFiles(t)
			_, err := files.Put(t.Context(), "runs/1/console/bomb", bytes.NewReader(bomb))
			require.NoError(t, err)
			chunk.Run = 1
			index := fixed{[]ci.Chunk{chunk}}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := New(index, files).Reader(t.Context(), 1, 0, -1)
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, r)
			runtime.ReadMemStats(&after)
			require.Equal(t, ci.CodeInternal, ci.CodeOf(err), "%v", err)
			require.Zero(t, n)
			require.NoError(t, r.Close())
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20))
		})
	}
}

// fixed is an index that holds whatever it is given.
type fixed struct{ chunks []ci.Chunk }

func (f fixed) AddChunk(context.Context, ci.Chunk) error { return nil }
func (f fixed) Chunks(context.Context, int64, int64, int) ([]ci.Chunk, error) {
	return f.chunks, nil
}

func (f fixed) ConsoleTimes(context.Context, int64, int64, int) ([]ci.ConsoleTime, error) {
	return nil, nil
}
func (f fixed) ConsoleEnd(context.Context, int64) (int64, error) { return 0, nil }

func TestReaderEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := New(&memory{}, openFiles(t))
	appendAll(t, c, 1, 0, output(3<<20))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := c.Reader(ctx, 1, 0, -1)
	require.NoError(t, err)
	_, err = r.Read(make([]byte, 10))
	require.NoError(t, err)
	cancel()
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close())
	_, err = r.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}
