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
	"syscall"
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
	// Data is the folder with a folder for each bucket, and a file for each object.
	Data string

	client        *minio.Client
	program, meta string
	out           bytes.Buffer
	process       *os.Process
	ended         chan error // of process
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
		s, err2 := start(ctx, t, path)
		if err = err2; err == nil {
			t.Cleanup(func() { s.Kill(); cancel() })
			return s
		}
	}
	cancel()
	t.Fatalf("the S3 server of the tests does not start: %v", err)
	return nil
}

func start(ctx context.Context, t testing.TB, path string) (*Server, error) {
	s := &Server{Endpoint: fmt.Sprintf("127.0.0.1:%d", porttest.Free(t, "127.0.0.1", 1)[0]), program: path}
	client, err := minio.New(s.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region, MaxRetries: 1,
	})
	if err != nil {
		return nil, err
	}
	s.client = client
	dir := t.TempDir()
	s.Data, s.meta = filepath.Join(dir, "data"), filepath.Join(dir, "meta")
	if err := errors.Join(os.Mkdir(s.Data, 0o700), os.Mkdir(s.meta, 0o700)); err != nil {
		return nil, err
	}
	return s, s.run(ctx, s.Endpoint)
}

// run starts the process, and waits until it answers.
func (s *Server) run(ctx context.Context, address string) error {
	s.out.Reset()
	// A sidecar folder, since not every disk keeps extended attributes.
	cmd := exec.Command(s.program, "--access", AccessKey, "--secret", SecretKey, "--region", Region,
		"--port", address, "--quiet", "posix", "--sidecar", s.meta, s.Data)
	cmd.Stdout, cmd.Stderr = &s.out, &s.out
	cmd.SysProcAttr = withParent()
	if err := cmd.Start(); err != nil {
		return err
	}
	s.process, s.ended = cmd.Process, make(chan error, 1)
	go func() { s.ended <- cmd.Wait() }()
	if err := s.ready(ctx, s.ended); err != nil {
		s.Kill()
		return &startError{err, s.out.String()}
	}
	return nil
}

// Kill ends the server at once, as kill -9 does.
func (s *Server) Kill() {
	_ = s.process.Kill() // it may have ended by itself
	err := <-s.ended
	s.ended <- err
}

// Again starts a server that was killed, at the same address, with all that it had stored.
func (s *Server) Again(ctx context.Context) error { return s.run(ctx, s.client.EndpointURL().Host) }

// Signal sends a signal to the server.
func (s *Server) Signal(sig syscall.Signal) error { return s.process.Signal(sig) }

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
