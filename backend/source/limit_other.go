//go:build !linux

package source

// limitFiles needs prlimit(2), which only Linux has.
func limitFiles(int) {}
