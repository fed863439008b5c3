package s3

import (
	"context"

	"github.com/minio/minio-go/v7"

	"ci/backend/blob"
)

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	err := s.core.Client.RemoveObject(ctx, s.cfg.Bucket, s.prefix+key, minio.RemoveObjectOptions{})
	if err != nil && minio.ToErrorResponse(err).Code != "NoSuchKey" {
		return s.failure(ctx, "delete", key, err)
	}
	return nil
}

// DeletePrefix lists and removes, up to 1000 objects a request. An object that
// appears meanwhile may stay.
func (s *Store) DeletePrefix(ctx context.Context, prefix string) error {
	if err := blob.CheckPrefix(prefix); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the lister when the deleter fails first
	defer cancel()
	var listErr error
	found := make(chan minio.ObjectInfo)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(found)
		for o := range s.core.Client.ListObjects(ctx, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
			if o.Err != nil {
				listErr = o.Err
				continue
			}
			select {
			case found <- o:
			case <-ctx.Done():
			}
		}
	}()
	var err error
	for result := range s.core.Client.RemoveObjectsWithResult(ctx, s.cfg.Bucket, found, minio.RemoveObjectsOptions{}) {
		if result.Err != nil && err == nil {
			err = result.Err
		}
	}
	cancelled := ctx.Err()
	cancel()
	<-done
	switch {
	case cancelled != nil:
		return cancelled
	case err == nil:
		err = listErr
	}
	if err != nil {
		return s.failure(ctx, "delete", prefix, err)
	}
	return nil
}
