package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"ci/pkg/ci"
)

// Sum reads the whole stored console and returns its size and hash. Truncated
// is left to who knows.
func (c *Console) Sum(ctx context.Context, run int64) (ci.Console, error) {
	r, err := c.Reader(ctx, run, 0, -1)
	if err != nil {
		return ci.Console{}, err
	}
	defer func() { _ = r.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err != nil {
		return ci.Console{}, err
	}
	return ci.Console{Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}
