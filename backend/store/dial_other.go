//go:build !linux

package store

import "time"

// setUserTimeout does nothing where there is no such option: keep-alives, and
// the bounds of calls, find out later.
func setUserTimeout(uintptr, time.Duration) error { return nil }
