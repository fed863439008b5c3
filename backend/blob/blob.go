// Package blob declares the storage of objects: results, and the larger pieces
// of consoles. Keys are made by the server alone ("runs/42/results/junit").
package blob

import (
	"context"
	"io"
)

// Info is what is known of a stored object.
type Info struct {
	Size   int64  // bytes
	SHA256 string // hex
}

// Store holds objects.
type Store interface {
	// Put stores all of r under key and replaces what was there. It is
	// atomic: when it fails, or r does, key is as before.
	Put(ctx context.Context, key string, r io.Reader) (Info, error)
	// Get reads length bytes from offset; length -1 reads to the end. A
	// missing object is ci.CodeNotFound.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// Delete removes an object. A missing one is no error.
	Delete(ctx context.Context, key string) error
	// DeletePrefix removes every object whose key begins with prefix, which ends in "/".
	DeletePrefix(ctx context.Context, prefix string) error
	// Check returns nil when objects can be written and read.
	Check(ctx context.Context) error
}
