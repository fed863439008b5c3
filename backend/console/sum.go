package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"ci/pkg/ci"
)

// Tally is what was counted of a console so far. The zero Tally has counted nothing.
type Tally struct {
	bytes int64
	hash  hash.Hash
}

// Sum reads the whole stored console and returns its size and hash. Truncated
// is left to who knows.
func (c *Console) Sum(ctx context.Context, run int64) (ci.Console, error) {
	var t Tally
	return c.Count(ctx, run, &t)
}

// Count goes on with a tally to the end of the console, and returns its size
// and hash as Sum does. After an error the tally stands where it came to.
func (c *Console) Count(ctx context.Context, run int64, t *Tally) (ci.Console, error) {
	if t.hash == nil {
		t.hash = sha256.New()
	}
	r, err := c.Reader(ctx, run, t.bytes, -1)
	if err != nil {
		return ci.Console{}, err
	}
	defer func() { _ = r.Close() }()
	n, err := io.Copy(t.hash, r)
	t.bytes += n
	if err != nil {
		return ci.Console{}, err
	}
	return ci.Console{Bytes: t.bytes, SHA256: hex.EncodeToString(t.hash.Sum(nil))}, nil
}
