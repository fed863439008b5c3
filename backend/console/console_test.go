package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(data)
	return data
}

func appendAll(t *testing.T, c *Console, run, offset int64, data []byte) int64 {
	t.Helper()
	next, err := c.Append(t.Context(), run, offset, data)
	require.NoError(t, err)
	require.Equal(t, offset+int64(len(data)), next)
	return next
}

func read(t *testing.T, c *Console, run, from, to int64) []byte {
	t.Helper()
	r, err := c.Reader(t.Context(), run, from, to)
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	return data
}

func TestWhatIsAppendedIsRead(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *Console) {
		all := append(append(output(3<<20), noise(2<<20)...), output(100_000)...)
		rng := rand.New(rand.NewPCG(1, 2))
		at := int64(0)
		for rest := all; len(rest) > 0; {
			n := min(len(rest), []int{1, 13, 900, 40_000, 1 << 20, 1<<20 + 1, 2_500_000}[rng.IntN(7)])
			at = appendAll(t, c, 7, at, rest[:n])
			rest = rest[n:]
		}
		require.True(t, bytes.Equal(all, read(t, c, 7, 0, -1)))
		sum := sha256.Sum256(all)
		got, err := c.Sum(t.Context(), 7)
		require.NoError(t, err)
		require.Equal(t, ci.Console{Bytes: int64(len(all)), SHA256: hex.EncodeToString(sum[:])}, got)
		for range 200 {
			from, to := rng.Int64N(at+1), rng.Int64N(at+1)
			from, to = min(from, to), min(max(from, to), from+300_000)
			to = max(from, to)
			require.True(t, bytes.Equal(all[from:to], read(t, c, 7, from, to)), "%d to %d", from, to)
		}
		require.Equal(t, all[at-10:], read(t, c, 7, at-10, at+99))
		require.Empty(t, read(t, c, 7, at, -1))
		require.Empty(t, read(t, c, 7, at+5, -1))
		require.Empty(t, read(t, c, 8, 0, -1), "of another run")
	})
}

func TestEmptyConsole(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *Console) {
		require.Empty(t, read(t, c, 1, 0, -1))
		require.EqualValues(t, 0, appendAll(t, c, 1, 0, nil))
		sum, err := c.Sum(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, ci.Console{SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}, sum)
		end, err := c.End(t.Context(), 1)
		require.NoError(t, err)
		require.Zero(t, end)
	})
}

func TestWrongRanges(t *testing.T) {
	t.Parallel()
	c := New(&memory{}, openFiles(t))
	for _, r := range [][2]int64{{-1, 0}, {0, -2}, {5, 4}} {
		_, err := c.Reader(t.Context(), 1, r[0], r[1])
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%v", r)
	}
	_, err := c.Append(t.Context(), 1, -1, []byte("x"))
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
}

func TestRepeats(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *Console) {
		all := output(50_000)
		for _, step := range []struct{ from, to, next int64 }{
			{0, 10_000, 10_000},
			{0, 10_000, 10_000},      // again
			{2_000, 3_000, 10_000},   // inside
			{0, 12_000, 12_000},      // again, and more
			{11_999, 20_000, 20_000}, // overlaps by one
			{20_000, 20_000, 20_000}, // nothing
			{0, 0, 20_000},
			{20_000, 50_000, 50_000},
		} {
			next, err := c.Append(t.Context(), 1, step.from, all[step.from:step.to])
			require.NoError(t, err)
			require.Equal(t, step.next, next)
		}
		require.True(t, bytes.Equal(all, read(t, c, 1, 0, -1)))
		next, err := c.Append(t.Context(), 1, 50_001, []byte("x"))
		require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
		require.EqualValues(t, 50_000, next)
		require.ErrorContains(t, err, "send again from 50000")
	})
}

// TestSendersAtOnce has the same bytes sent by several, cut differently.
func TestSendersAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c *Console) {
		all := noise(1 << 20)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for at := int64(0); at < int64(len(all)); {
					next, err := c.Append(t.Context(), 1, at, all[at:min(len(all), int(at)+20_000*(i+1)+i)])
					if err != nil {
						t.Error(err)
						return
					}
					at = next
				}
			})
		}
		wg.Wait()
		require.True(t, bytes.Equal(all, read(t, c, 1, 0, -1)))
	})
}

// answers loses or changes what the index answers to AddChunk.
type answers struct {
	DB
	after func(c ci.Chunk, err error) error
}

func (a *answers) AddChunk(ctx context.Context, c ci.Chunk) error {
	return a.after(c, a.DB.AddChunk(ctx, c))
}

func TestLostAnswers(t *testing.T) {
	t.Parallel()
	cut := errors.New("the connection was cut")
	for name, answer := range map[string]error{
		"no answer":                             cut,
		"conflict with its own, first, attempt": ci.Errorf(ci.CodeConflict, "does not follow"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lose := true
			db := &answers{DB: &memory{}, after: func(_ ci.Chunk, err error) error {
				if lose = !lose; err == nil && !lose {
					return answer
				}
				return err
			}}
			c := New(&memory{}, openFiles(t)).With(db)
			all := noise(300_000)
			for at := int64(0); at < int64(len(all)); {
				next, err := c.Append(t.Context(), 1, at, all[at:at+100_000])
				if err != nil {
					require.ErrorIs(t, err, cut)
					continue // the same again
				}
				at = next
			}
			require.True(t, bytes.Equal(all, read(t, c, 1, 0, -1)))
		})
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	index, files := &memory{}, openFiles(t)
	c := New(index, files)
	appendAll(t, c, 1, 0, noise(50_000))
	var key string
	refuses := &answers{DB: noAdd{index}, after: func(c ci.Chunk, err error) error { key = c.Key; return err }}
	next, err := c.With(refuses).Append(t.Context(), 1, 50_000, noise(50_000))
	require.ErrorContains(t, err, "no longer yours")
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	require.EqualValues(t, 50_000, next)
	_, err = files.Get(t.Context(), key, 0, -1)
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err), "what nobody names is removed")
	require.Len(t, read(t, c, 1, 0, -1), 50_000)
}

type noAdd struct{ DB }

func (noAdd) AddChunk(context.Context, ci.Chunk) error {
	return ci.Errorf(ci.CodeConflict, "run 1 is no longer yours")
}
