package store

import (
	"context"

	"ci/pkg/ci"
)

const chunkFields = "run, first_byte, length, data, blob_key, stored_at"

func chunkPlaces(c *ci.Chunk) []any {
	return []any{&c.Run, &c.Offset, &c.Length, &c.Data, &c.Key, stamp{&c.At}}
}

// AddChunk appends to a run's console index. A chunk that does not begin where
// the console ends is ci.CodeConflict, also when another one was just faster.
// Whether the run may still print is for the caller to say (HoldRun).
func (tx *Tx) AddChunk(ctx context.Context, c ci.Chunk) error {
	if c.Length < 1 || c.Offset < 0 {
		return ci.Errorf(ci.CodeInvalid, "a chunk of run %d covers %d bytes at %d; it has to cover at least one", c.Run, c.Length, c.Offset)
	}
	end, err := tx.ConsoleEnd(ctx, c.Run)
	if err != nil {
		return err
	}
	n := int64(0)
	if end == c.Offset {
		n, err = tx.s.exec(ctx, insertText("chunks", chunkFields, 6)+" ON CONFLICT (run, first_byte) DO NOTHING", values(chunkPlaces(&c))...)
	}
	if err == nil && n == 0 {
		return ci.Errorf(ci.CodeConflict, "the console of run %d ends at byte %d; a chunk at %d does not follow", c.Run, end, c.Offset)
	}
	return err
}

// Chunks returns up to limit chunks that hold bytes at or after from, ascending.
func (r reader) Chunks(ctx context.Context, run, from int64, limit int) ([]ci.Chunk, error) {
	return many(ctx, r.s, chunkPlaces, "SELECT "+chunkFields+" FROM chunks WHERE run = ? AND first_byte + length > ? AND first_byte >= "+
		"COALESCE((SELECT MAX(first_byte) FROM chunks WHERE run = ? AND first_byte <= ?), 0) ORDER BY first_byte LIMIT ?",
		run, from, run, from, limit)
}

// ConsoleTimes returns up to limit times of parts that hold bytes at or after from, ascending.
func (r reader) ConsoleTimes(ctx context.Context, run, from int64, limit int) ([]ci.ConsoleTime, error) {
	places := func(t *ci.ConsoleTime) []any { return []any{&t.Offset, &t.Length, stamp{&t.At}} }
	return many(ctx, r.s, places, "SELECT first_byte, length, stored_at FROM chunks WHERE run = ? AND first_byte + length > ? AND first_byte >= "+
		"COALESCE((SELECT MAX(first_byte) FROM chunks WHERE run = ? AND first_byte <= ?), 0) ORDER BY first_byte LIMIT ?",
		run, from, run, from, limit)
}

// ConsoleEnd returns how many bytes of the run's console are stored; 0 for an
// unknown run.
func (r reader) ConsoleEnd(ctx context.Context, run int64) (int64, error) {
	end, err := one(ctx, r.s, idPlaces, "SELECT first_byte + length FROM chunks WHERE run = ? ORDER BY first_byte DESC LIMIT 1", run)
	if err != nil || end == nil {
		return 0, err
	}
	return *end, nil
}
