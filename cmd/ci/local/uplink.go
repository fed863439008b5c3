//go:build linux

package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ci/pkg/ci"
)

// uplink is the backend of a run that has none: it prints, writes results into
// a folder, and remembers how the run ended.
type uplink struct {
	console io.Writer
	// save says where a result goes.
	save func(ci.Result) (path string, err error)
	told func(what string)

	mu    sync.Mutex
	run   ci.Run
	deaf  bool // nobody takes the output any more
	onEnd func()
}

// Started implements runner.Uplink.
func (u *uplink) Started(context.Context, ci.Claim) error {
	u.mu.Lock()
	u.run.Phase, u.run.ScriptStarted, u.run.Times.Started = ci.PhaseRunning, true, time.Now()
	u.mu.Unlock()
	u.told("running")
	return nil
}

// Collecting implements runner.Uplink.
func (u *uplink) Collecting(_ context.Context, _ ci.Claim, code *int) error {
	u.mu.Lock()
	u.run.Phase, u.run.ExitCode, u.run.Times.Collecting = ci.PhaseCollecting, code, time.Now()
	u.mu.Unlock()
	u.told("collecting results")
	return nil
}

// AppendConsole implements runner.Uplink. Output that nobody takes any more, as
// in a pipe into head, ends the run.
func (u *uplink) AppendConsole(_ context.Context, _ ci.Claim, offset int64, data []byte) (int64, error) {
	u.mu.Lock()
	deaf := u.deaf
	u.mu.Unlock()
	if !deaf {
		if _, err := u.console.Write(data); err != nil {
			u.mu.Lock()
			u.deaf = true
			u.mu.Unlock()
			u.onEnd()
		}
	}
	return offset + int64(len(data)), nil
}

// PutResult implements runner.Uplink.
func (u *uplink) PutResult(_ context.Context, _ ci.Claim, r ci.Result, body io.Reader) (ci.Result, error) {
	path, err := u.save(r)
	if err != nil {
		return r, err
	}
	sum := sha256.New()
	if path == "" {
		r.Size, err = io.Copy(sum, body)
	} else {
		r.Size, err = writeResult(path, io.TeeReader(body, sum))
	}
	r.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return r, err
}

// writeResult makes or replaces a file in one step: it is there whole, or as before.
func writeResult(path string, body io.Reader) (int64, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".result-*")
	if err != nil {
		return 0, fileError(err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone when all went well
	n, err := io.Copy(f, body)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return n, fileError(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return n, fileError(err)
	}
	return n, nil
}

// fileError is final for the runner: who has no room for a file now is not waited for.
func fileError(err error) error {
	return ci.Errorf(ci.CodeInvalid, "the result's file can't be written: %w", err)
}

// Finish implements runner.Uplink.
func (u *uplink) Finish(_ context.Context, _ ci.Claim, e ci.End) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := &u.run
	r.Status, r.Outcome, r.Reason, r.ScriptStarted = ci.StatusDone, e.Outcome, e.Reason, e.ScriptStarted
	r.Console, r.Steps, r.Images, r.Times.Done = e.Console, e.Steps, e.Images, time.Now()
	if e.ExitCode != nil {
		r.ExitCode = e.ExitCode
	}
	return nil
}

// ended returns the run as it ended.
func (u *uplink) ended() *ci.Run {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := u.run
	return &r
}
