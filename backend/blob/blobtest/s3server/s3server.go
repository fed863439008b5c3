//go:build unix

package s3server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"ci/pkg/porttest"
)

// The server's only account, and its region.
const (
	AccessKey = "test-access"
	SecretKey = "test-secret-key"
	Region    = "us-east-1"
)

// Server is a running S3 server on loopback that ends with its test.
type Server struct {
	// Endpoint is host:port; it speaks HTTP.
	Endpoint string
	client   *minio.Client
}

// Start runs a server of its own for t. It fails t when it can't be had.
func Start(t testing.TB) *Server {
	t.Helper()
	// Not t.Context: that ends before the clean-up that needs the server.
	ctx, cancel := context.WithCancel(context.Background())
	path, err := binary(ctx)
	if err != nil {
		cancel()
		t.Fatalf("the S3 server of the tests can't be built; is the Go module proxy reachable? %v", err)
	}
	for range 3 { // somebody else may take the port first
		s, stop, err2 := start(ctx, t, path)
		if err = err2; err == nil {
			t.Cleanup(func() { stop(); cancel() })
			return s
		}
	}
	cancel()
	t.Fatalf("the S3 server of the tests does not start: %v", err)
	return nil
}

func start(ctx context.Context, t testing.TB, path string) (*Server, func(), error) {
	s := &Server{Endpoint: fmt.Sprintf("127.0.0.1:%d", porttest.Free(t, "127.0.0.1", 1)[0])}
	client, err := minio.New(s.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region, MaxRetries: 1,
	})
	if err != nil {
		return nil, nil, err
	}
	s.client = client
	dir := t.TempDir()
	data, meta := filepath.Join(dir, "data"), filepath.Join(dir, "meta")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Mkdir(meta, 0o700)); err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	// A sidecar folder, since not every disk keeps extended attributes.
	cmd := exec.CommandContext(ctx, path, "--access", AccessKey, "--secret", SecretKey, "--region", Region,
		"--port", s.Endpoint, "--quiet", "posix", "--sidecar", meta, data)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = withParent()
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	if err := s.ready(ctx, ended); err != nil {
		stop()
		return nil, nil, &startError{err, out.String()}
	}
	return s, stop, nil
}

type startError struct {
	err error
	out string
}

func (e *startError) Error() string { return e.err.Error() + "\n" + e.out }

// ready waits until the server answers.
func (s *Server) ready(ctx context.Context, ended chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		_, err := s.client.ListBuckets(ctx)
		if err == nil {
			return nil
		}
		select {
		case e := <-ended:
			ended <- e
			return e
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Bucket makes a bucket.
func (s *Server) Bucket(t testing.TB, name string) {
	t.Helper()
	if err := s.client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{Region: Region}); err != nil {
		t.Fatalf("the bucket %s can't be made: %v", name, err)
	}
}

// Uploads lists the keys with parts of uploads that were neither finished nor dropped.
func (s *Server) Uploads(t testing.TB, bucket string) []string {
	t.Helper()
	var keys []string
	for u := range s.client.ListIncompleteUploads(t.Context(), bucket, "", true) {
		if u.Err != nil {
			t.Fatalf("the uploads of bucket %s can't be listed: %v", bucket, u.Err)
		}
		keys = append(keys, u.Key)
	}
	return keys
}

// Keys lists all keys of a bucket.
func (s *Server) Keys(t testing.TB, bucket string) []string {
	t.Helper()
	var keys []string
	for o := range s.client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatalf("the bucket %s can't be listed: %v", bucket, o.Err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// URL is the address of a bucket and prefix ("bucket/a/b") as s3.Open takes
// it. The keys are not in it: see Credentials.
func (s *Server) URL(bucketAndPrefix string) string {
	q := url.Values{"endpoint": {s.Endpoint}, "insecure": {"true"}, "region": {Region}}
	return "s3://" + strings.Trim(bucketAndPrefix, "/") + "?" + q.Encode()
}

// Credentials are the environment variables that s3.Open reads.
func Credentials() map[string]string {
	return map[string]string{"CI_S3_ACCESS_KEY": AccessKey, "CI_S3_SECRET_KEY": SecretKey}
}
