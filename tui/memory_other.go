//go:build !linux

package tui

import "ci/pkg/ci"

// memoryFolder is a folder whose files never reach a disk.
func memoryFolder(func(string) string) (string, error) {
	return "", ci.Errorf(ci.CodeInvalid, "on this system no folder is known to be in memory, for a secret to be edited in; type it instead")
}
