package console

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

const benchSize = 100 << 20

// BenchmarkAppend stores 100 MiB in pieces of 1 MiB, in SQLite and files.
func BenchmarkAppend(b *testing.B) {
	data := output(benchSize)
	c := New(openDatabase(b), openFiles(b))
	b.SetBytes(benchSize)
	b.ReportAllocs()
	run := int64(0)
	for b.Loop() {
		run++
		for at := int64(0); at < benchSize; at += 1 << 20 {
			_, err := c.Append(b.Context(), run, at, data[at:at+1<<20])
			require.NoError(b, err)
		}
	}
}

// BenchmarkReader reads 100 MiB back.
func BenchmarkReader(b *testing.B) {
	c := New(openDatabase(b), openFiles(b))
	_, err := c.Append(b.Context(), 1, 0, output(benchSize))
	require.NoError(b, err)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		r, err := c.Reader(b.Context(), 1, 0, -1)
		require.NoError(b, err)
		n, err := io.Copy(io.Discard, r)
		require.NoError(b, err)
		require.EqualValues(b, benchSize, n)
		require.NoError(b, r.Close())
	}
}

// BenchmarkAppendLine stores a line at a time, as a slow run prints.
func BenchmarkAppendLine(b *testing.B) {
	c := New(openDatabase(b), openFiles(b))
	line := []byte("2026-01-01T00:00:00Z compiling package main\n")
	b.ReportAllocs()
	at := int64(0)
	for b.Loop() {
		next, err := c.Append(b.Context(), 1, at, line)
		require.NoError(b, err)
		at = next
	}
}
