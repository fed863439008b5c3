package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
)

// owner stands for a test towards helpers that belong to one: it owns what they
// start, and turns their failure into an error.
type owner struct {
	testing.TB // nil: what is not here is not called
	cleanups   []func()
	failure    error
}

var errFailed = errors.New("a helper failed")

// try runs what needs a test.
func (o *owner) try(fn func()) (err error) {
	defer func() {
		if p := recover(); p == errFailed {
			err = o.failure
		} else if p != nil {
			panic(p)
		}
	}()
	fn()
	return nil
}

// Helper implements testing.TB.
func (o *owner) Helper() {}

// Context implements testing.TB.
func (o *owner) Context() context.Context { return context.Background() }

// Cleanup implements testing.TB.
func (o *owner) Cleanup(fn func()) { o.cleanups = append(o.cleanups, fn) }

// Errorf implements testing.TB.
func (o *owner) Errorf(format string, args ...any) { o.failure = fmt.Errorf(format, args...) }

// FailNow implements testing.TB.
func (o *owner) FailNow() { panic(errFailed) }

// Fatalf implements testing.TB.
func (o *owner) Fatalf(format string, args ...any) {
	o.Errorf(format, args...)
	o.FailNow()
}

// TempDir implements testing.TB.
func (o *owner) TempDir() string {
	dir, err := os.MkdirTemp("", "ci-fleet-")
	if err != nil {
		o.Fatalf("make a folder: %w", err)
	}
	o.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// later is Cleanup for what may fail; at the end nobody can help it any more.
func (o *owner) later(fn func() error) { o.Cleanup(func() { _ = fn() }) }

// end undoes everything, the last thing first.
func (o *owner) end() {
	for _, fn := range slices.Backward(o.cleanups) {
		fn()
	}
	o.cleanups = nil
}
