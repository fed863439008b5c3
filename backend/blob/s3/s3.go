package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"

	"ci/backend/blob"
)

const (
	// small objects go in one request; larger ones in parts of 5 MiB, the
	// least that S3 allows, one at a time: 6 MiB of memory an upload, 50 GB an object.
	small    = 1 << 20
	partSize = 5 << 20
)

// Store implements blob.Store. It is safe for concurrent use.
type Store struct {
	cfg     Config
	core    *minio.Core
	prefix  string // "" or ends in "/"
	buffers sync.Pool
}

var _ blob.Store = (*Store)(nil)

// Open takes the address that ParseURL reads. It sends nothing; Check does.
func Open(rawURL string) (*Store, error) {
	cfg, err := ParseURL(rawURL)
	if err != nil {
		return nil, err
	}
	return New(cfg)
}

// New makes a store. It sends nothing; Check does.
func New(cfg Config) (*Store, error) {
	core, err := cfg.client()
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, core: core}
	if cfg.Prefix != "" {
		s.prefix = cfg.Prefix + "/"
	}
	s.buffers.New = func() any { return new([small]byte) }
	return s, nil
}

// Check stores a small object, reads it and removes it.
func (s *Store) Check(ctx context.Context) error {
	key := "check/" + rand.Text()
	if _, err := s.Put(ctx, key, strings.NewReader("ok")); err != nil {
		return err
	}
	r, err := s.Get(ctx, key, 0, -1)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		_ = r.Close()
	}
	return errors.Join(err, s.Delete(ctx, key))
}

// Put sends small objects in one request and others in parts; either way the
// object appears whole or not at all. When r fails its error is returned as it is.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}
	head := s.buffers.Get().(*[small]byte)
	defer s.buffers.Put(head)
	in := &meter{r: r, sum: sha256.New()}
	n, err := io.ReadFull(in, head[:])
	var body io.Reader = bytes.NewReader(head[:n])
	size := int64(n)
	switch {
	case err == nil:
		// Without a length the client sends parts until r ends.
		body, size = io.MultiReader(body, in), -1
	case in.err != nil:
		return blob.Info{}, in.err
	}
	_, err = s.core.Client.PutObject(ctx, s.cfg.Bucket, s.prefix+key, body, size, minio.PutObjectOptions{
		ContentType: "application/octet-stream", PartSize: partSize, NumThreads: 1,
	})
	switch {
	case in.err != nil:
		return blob.Info{}, in.err
	case err != nil:
		return blob.Info{}, s.failure(ctx, "store", key, err)
	}
	return blob.Info{Size: in.n, SHA256: hex.EncodeToString(in.sum.Sum(nil))}, nil
}

// Get reads a range of an object. A range that begins at its end, or after, is empty.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := errors.Join(blob.CheckKey(key), blob.CheckRange(offset, length)); err != nil {
		return nil, err
	}
	if length == 0 {
		_, err := s.core.Client.StatObject(ctx, s.cfg.Bucket, s.prefix+key, minio.StatObjectOptions{})
		if err != nil {
			return nil, s.failure(ctx, "read", key, err)
		}
		return io.NopCloser(strings.NewReader("")), nil
	}
	var opts minio.GetObjectOptions
	if offset > 0 || length > 0 {
		end := int64(0) // to the end
		if length > 0 {
			end = offset + length - 1
		}
		if err := setRange(&opts, offset, end); err != nil {
			return nil, err
		}
	}
	body, _, _, err := s.core.GetObject(ctx, s.cfg.Bucket, s.prefix+key, opts)
	if minio.ToErrorResponse(err).Code == "InvalidRange" {
		return io.NopCloser(strings.NewReader("")), nil
	}
	if err != nil {
		return nil, s.failure(ctx, "read", key, err)
	}
	return &reader{s: s, ctx: ctx, key: key, body: body}, nil
}
