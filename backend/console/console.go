// Package console stores what runs print, and reads it back. The bytes are cut
// into pieces of at most 1 MiB, compressed one by one with zstd (RFC 8878) and
// listed in an index. Small pieces stand in the index itself, larger ones are
// objects. No piece is ever changed, so a reader needs no lock.
//
// Every byte comes from a job and is hostile: sizes are checked against the
// index and never believed.
package console

import (
	"context"
	"io"

	"ci/backend/blob"
	"ci/pkg/ci"
)

const (
	// maxPiece is the most plain bytes of one piece.
	maxPiece = 1 << 20
	// maxInline is the most compressed bytes that stand in the index.
	maxInline = 8 << 10
)

// DB keeps the index.
type DB interface {
	// AddChunk appends to the index. When the chunk does not begin where the
	// run's console ends it fails with ci.CodeConflict and changes nothing.
	AddChunk(ctx context.Context, c ci.Chunk) error
	// Chunks lists up to limit chunks that hold bytes at or after from, ascending.
	Chunks(ctx context.Context, run, from int64, limit int) ([]ci.Chunk, error)
	// ConsoleTimes lists up to limit times of chunks that hold bytes at or after from, ascending.
	ConsoleTimes(ctx context.Context, run, from int64, limit int) ([]ci.ConsoleTime, error)
	// ConsoleEnd returns the number of bytes that are stored; 0 for an unknown run.
	ConsoleEnd(ctx context.Context, run int64) (int64, error)
}

// Blobs keeps the larger pieces. blob.Store satisfies it.
type Blobs interface {
	Put(ctx context.Context, key string, r io.Reader) (blob.Info, error)
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	Delete(ctx context.Context, key string) error
}

// Console appends and reads. It is safe for concurrent use.
type Console struct {
	db    DB
	blobs Blobs
	codec *codec
}

// New makes a Console. It holds a few MiB for compression: make one, and With
// for others.
func New(db DB, blobs Blobs) *Console {
	return &Console{db: db, blobs: blobs, codec: newCodec()}
}

// With returns a Console that keeps its index in db and shares all the rest.
// It serves to guard AddChunk, for example by the claim of the agent that sends.
func (c *Console) With(db DB) *Console { return &Console{db: db, blobs: c.blobs, codec: c.codec} }

// End returns the number of bytes that are stored of the run's console.
func (c *Console) End(ctx context.Context, run int64) (int64, error) {
	return c.db.ConsoleEnd(ctx, run)
}

// Times lists up to limit times of parts that hold bytes at or after from, ascending.
func (c *Console) Times(ctx context.Context, run, from int64, limit int) ([]ci.ConsoleTime, error) {
	return c.db.ConsoleTimes(ctx, run, from, limit)
}
