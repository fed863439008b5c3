package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/blob"
	"ci/pkg/ci"
)

// noise returns n bytes that don't compress, the same each time.
func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

// failingReader breaks early, and in the middle of a part; with an error of
// its own, and with the one that a body gives that was cut off.
func failingReader(t *testing.T, s blob.Store) {
	put(t, s, "k", []byte("old"))
	for _, n := range []int{0, 10, 1 << 20, 7 << 20} {
		for _, broken := range []error{errBroken, io.ErrUnexpectedEOF, fmt.Errorf("wrapped: %w", io.EOF)} {
			r := io.MultiReader(bytes.NewReader(noise(n)), iotest.ErrReader(broken))
			_, err := s.Put(t.Context(), "k", r)
			require.ErrorIs(t, err, broken, "after %d bytes", n)
			_, err = s.Put(t.Context(), "fresh", io.MultiReader(bytes.NewReader(noise(n)), iotest.ErrReader(broken)))
			require.Error(t, err)
		}
	}
	require.Equal(t, "old", string(get(t, s, "k", 0, -1)))
	absent(t, s, "fresh")
}

func cancelled(t *testing.T, s blob.Store) {
	put(t, s, "k", []byte("old"))
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	endless := readerFunc(func(p []byte) (int, error) {
		if n += len(p); n > 8<<20 {
			cancel()
		}
		return len(p), nil
	})
	_, err := s.Put(ctx, "k", endless)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "old", string(get(t, s, "k", 0, -1)))
	_, err = s.Get(ctx, "k", 0, -1)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.Delete(ctx, "k"), context.Canceled)
	require.ErrorIs(t, s.DeletePrefix(ctx, "k/"), context.Canceled)
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// concurrent puts differ in content and size.
func concurrent(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	sums := sync.Map{}
	for i := range 8 {
		wg.Go(func() {
			for j := range 3 {
				data := bytes.Repeat([]byte{byte('a' + i)}, 200_000*(i+1)+j)
				info, err := s.Put(t.Context(), "same/key", bytes.NewReader(data))
				if err != nil {
					t.Error(err)
					return
				}
				sums.Store(info.SHA256, true)
			}
		})
	}
	wg.Wait()
	sum := sha256.Sum256(get(t, s, "same/key", 0, -1))
	_, whole := sums.Load(hex.EncodeToString(sum[:]))
	require.True(t, whole, "what is stored is a mixture")
}

// pruneRace stores in a folder that is removed all the time. A store may say that
// just then it is not to be had, which callers repeat, but not that it failed.
func pruneRace(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	defer wg.Wait()
	defer close(done)
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if err := repeated(func() error { return s.DeletePrefix(t.Context(), "race/1/") }); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for i := range 50 {
		require.NoError(t, repeated(func() error {
			_, err := s.Put(t.Context(), fmt.Sprintf("race/1/%d/x", i), bytes.NewReader([]byte("x")))
			return err
		}))
	}
}

// repeated makes a call again, up to ten times, that says it is unavailable.
func repeated(call func() error) error {
	for range 9 {
		if err := call(); ci.CodeOf(err) != ci.CodeUnavailable {
			return err
		}
	}
	return call()
}

// large streams 200 MiB up and down and watches the heap.
func large(t *testing.T, s blob.Store) {
	const size = 200 << 20
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base, peak := m.HeapAlloc, uint64(0)
	watch := func() {
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
	}
	want := sha256.New()
	source := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{7}), size), want)
	start := time.Now()
	info, err := s.Put(t.Context(), "large", &watched{r: source, watch: watch})
	require.NoError(t, err)
	up := time.Since(start)
	require.EqualValues(t, size, info.Size)
	require.Equal(t, hex.EncodeToString(want.Sum(nil)), info.SHA256)
	start = time.Now()
	r, err := s.Get(t.Context(), "large", 0, -1)
	require.NoError(t, err)
	have := sha256.New()
	n, err := io.Copy(have, &watched{r: r, watch: watch})
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.EqualValues(t, size, n)
	require.Equal(t, want.Sum(nil), have.Sum(nil))
	grown := int64(peak) - int64(base)
	t.Logf("200 MiB up in %s, down in %s, heap grew by %d KiB", up, time.Since(start), grown>>10)
	require.Less(t, grown, int64(32<<20))
	tail := get(t, s, "large", size-5, -1)
	require.Len(t, tail, 5)
}

// watched calls watch every 4 MiB.
type watched struct {
	r     io.Reader
	n     int
	watch func()
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if w.n += n; w.n > 4<<20 {
		w.n = 0
		w.watch()
	}
	return n, err
}
