//go:build unix

// Package s3server gives tests a real S3 server: versitygw, built once from
// its own module file under tools/ and kept in the user's cache folder.
package s3server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tool    = "github.com/versity/versitygw/cmd/versitygw"
	toolDir = "tools/versitygw"
	// attempt bounds one try of the build, downloads included: it takes three
	// minutes with an empty cache, and a download may hang for ever.
	attempt = 270 * time.Second
)

// binary returns the path of the program, which it builds when the cache has
// none for the present module file.
func binary(ctx context.Context) (string, error) {
	dir, err := toolFolder()
	if err != nil {
		return "", err
	}
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, fmt.Sprintf("versitygw-%x", sha256.Sum256(sum))[:30])
	unlock, err := lock(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err = build(ctx, dir, path); err != nil && ctx.Err() == nil {
		err = build(ctx, dir, path)
	}
	return path, err
}

// build leaves either the whole program at path or nothing.
func build(ctx context.Context, dir, path string) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	part := path + ".part"
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", part, tool)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", tool, dir, errors.Join(err, ctx.Err()), out)
	}
	return os.Rename(part, path)
}

// toolFolder finds the module file from the folder of any package of the project.
func toolFolder() (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := at; ; dir = filepath.Dir(dir) {
		found := filepath.Join(dir, toolDir)
		if _, err := os.Stat(filepath.Join(found, "go.mod")); err == nil {
			return found, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no folder above %s has %s", at, toolDir)
		}
	}
}

func cacheFolder() (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(user, "ci-test-tools")
	return dir, os.MkdirAll(dir, 0o700)
}

// lock keeps the tests of two packages from building at the same time.
func lock(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			_ = f.Close()
			return nil, errors.Join(err, ctx.Err())
		}
	}
}
