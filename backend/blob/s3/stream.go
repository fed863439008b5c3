package s3

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"

	"ci/pkg/ci"
)

// meter counts and hashes what is read, and remembers the reader's error apart
// from the server's.
type meter struct {
	r   io.Reader
	n   int64
	sum hash.Hash
	err error
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.sum.Write(p[:n])
	if err != nil && err != io.EOF {
		m.err = err
		// The client takes io.ErrUnexpectedEOF, which a body that was cut off
		// gives, for a proper end. Wrapped it is an error like any other.
		err = fmt.Errorf("the source failed: %w", err)
	}
	return n, err
}

// reader puts the errors of a body into words.
type reader struct {
	s    *Store
	ctx  context.Context // of the Get, whose end ends the body
	key  string
	body io.ReadCloser
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.s.failure(r.ctx, "read", r.key, err)
	}
	return n, err
}

func (r *reader) Close() error { return r.body.Close() }

// setRange asks for bytes from offset to end, inclusive; end 0 is the last one.
func setRange(opts *minio.GetObjectOptions, offset, end int64) error {
	if end == 0 && offset == 0 { // the first byte alone, which the client would take for all
		opts.Set("Range", "bytes=0-0")
		return nil
	}
	if err := opts.SetRange(offset, end); err != nil {
		return ci.Errorf(ci.CodeInvalid, "bytes %d to %d are no range of an object: %w", offset, end, err)
	}
	return nil
}

// failure puts the server's answer into words.
func (s *Store) failure(ctx context.Context, verb, key string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	where := s.cfg.Endpoint
	if where == "" {
		where = amazon
	}
	at := fmt.Sprintf("bucket %s at %s", s.cfg.Bucket, where)
	var answer minio.ErrorResponse
	errors.As(err, &answer)
	switch code := answer.Code; {
	case code == "NoSuchKey":
		return ci.Errorf(ci.CodeNotFound, "there is no object %q", key)
	case code == "NoSuchBucket":
		return ci.Errorf(ci.CodeUnavailable, "can't %s %q: there is no %s; make it, or correct the object store's address: %w", verb, key, at, err)
	case code == "AuthorizationHeaderMalformed", code == "PermanentRedirect":
		return ci.Errorf(ci.CodeUnavailable, "can't %s %q: %s is in another region than %q; set region in the object store's address: %w", verb, key, at, s.cfg.Region, err)
	case answer.StatusCode == http.StatusForbidden, code == "ExpiredToken":
		return ci.Errorf(ci.CodeUnavailable, "can't %s %q: %s refuses our credentials (%s); they need to read, write, list and delete objects, see CI_S3_ACCESS_KEY and CI_S3_SECRET_KEY: %w", verb, key, at, code, err)
	}
	return ci.Errorf(ci.CodeUnavailable, "can't %s %q: %s does not answer as it should; is it up and reachable from here? %w", verb, key, at, err)
}
