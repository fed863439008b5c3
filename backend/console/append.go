package console

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"ci/pkg/ci"
)

// Append stores data as the bytes of the run's console from offset on, and
// returns where the console then ends: what to send next begins there.
//
// It may be repeated after any failure: bytes that are stored already are
// skipped, whatever they are. An offset after the end is ci.CodeConflict, with
// next at the end. After another error next is how far it came.
func (c *Console) Append(ctx context.Context, run, offset int64, data []byte) (next int64, err error) {
	if offset < 0 {
		return 0, ci.Errorf(ci.CodeInvalid, "the console of run %d has no byte %d", run, offset)
	}
	end, err := c.db.ConsoleEnd(ctx, run)
	if err != nil {
		return 0, err
	}
	last := offset + int64(len(data))
	for {
		if offset > end {
			return end, ci.Errorf(ci.CodeConflict, "the console of run %d ends at byte %d and can't go on at byte %d; send again from %d", run, end, offset, end)
		}
		if end >= last {
			return end, nil
		}
		piece := data[end-offset:]
		piece = piece[:min(len(piece), maxPiece)]
		err := c.addPiece(ctx, run, end, piece)
		switch {
		case err == nil:
			end += int64(len(piece))
		case ci.CodeOf(err) != ci.CodeConflict:
			return end, err
		default:
			// Somebody else has appended, or a guard of AddChunk refuses us.
			now := c.grown(ctx, run, end)
			if now == end {
				return end, err
			}
			end = now
		}
	}
}

// grown waits a moment for the console to be longer than end, and returns its
// end. What AddChunk saw of another transaction need not be committed yet.
func (c *Console) grown(ctx context.Context, run, end int64) int64 {
	for wait := 2 * time.Millisecond; wait < 500*time.Millisecond; wait *= 2 {
		now, err := c.db.ConsoleEnd(ctx, run)
		if err != nil || now > end {
			return max(now, end)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return end
		}
	}
	return end
}

// addPiece stores one piece, in the index or beside it.
func (c *Console) addPiece(ctx context.Context, run, offset int64, plain []byte) error {
	buf := c.codec.buffers.Get().(*[]byte)
	defer c.codec.buffers.Put(buf)
	packed := c.codec.pack(plain, buf)
	chunk := ci.Chunk{Run: run, Offset: offset, Length: int64(len(plain)), At: time.Now().UTC()}
	if len(packed) <= maxInline {
		chunk.Data = bytes.Clone(packed)
		return c.db.AddChunk(ctx, chunk)
	}
	// The name is new each time, so a repeat that lost the race, perhaps with
	// more or fewer bytes, never touches the object that the index names.
	chunk.Key = fmt.Sprintf("runs/%d/console/%d-%s", run, offset, rand.Text()[:8])
	if _, err := c.blobs.Put(ctx, chunk.Key, bytes.NewReader(packed)); err != nil {
		return err
	}
	err := c.db.AddChunk(ctx, chunk)
	if ci.CodeOf(err) == ci.CodeConflict {
		return c.lost(ctx, chunk, err)
	}
	// After another error the chunk may be in the index all the same. If not,
	// its object goes when the run does.
	return err
}

// lost finds out whether a conflict was with our own chunk, whose first commit
// had no answer. If not, the object is of no use.
func (c *Console) lost(ctx context.Context, chunk ci.Chunk, conflict error) error {
	have, err := c.db.Chunks(ctx, chunk.Run, chunk.Offset, 1)
	if err != nil {
		return conflict
	}
	if len(have) == 1 && have[0].Key == chunk.Key {
		return nil
	}
	// Done even when the caller has gone, within bounds; what fails goes with the run.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = c.blobs.Delete(ctx, chunk.Key)
	return conflict
}
