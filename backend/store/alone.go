package store

import (
	"context"
	"time"

	"ci/pkg/ci"
)

// These are the changes that other rooms ask for by interface, each a
// transaction of its own.

// PutToken is Tx.PutToken.
func (s *Store) PutToken(ctx context.Context, t *ci.Token) error {
	return s.Write(ctx, func(ctx context.Context, tx *Tx) error { return tx.PutToken(ctx, t) })
}

// RevokeToken is Tx.RevokeToken.
func (s *Store) RevokeToken(ctx context.Context, id string, at time.Time) error {
	return s.Write(ctx, func(ctx context.Context, tx *Tx) error { return tx.RevokeToken(ctx, id, at) })
}

// AddChunk is Tx.AddChunk.
func (s *Store) AddChunk(ctx context.Context, c ci.Chunk) error {
	return s.Write(ctx, func(ctx context.Context, tx *Tx) error { return tx.AddChunk(ctx, c) })
}
