package tui

import (
	"golang.org/x/sys/unix"

	"ci/pkg/ci"
)

// memoryFolder is a folder whose files never reach a disk.
func memoryFolder(env func(string) string) (string, error) {
	for _, dir := range []string{env("XDG_RUNTIME_DIR"), "/dev/shm", "/run"} {
		var fs unix.Statfs_t
		if dir == "" || unix.Statfs(dir, &fs) != nil || fs.Type != unix.TMPFS_MAGIC || unix.Access(dir, unix.W_OK) != nil {
			continue
		}
		return dir, nil
	}
	return "", ci.Errorf(ci.CodeInvalid, "no folder in memory (tmpfs) is there for a secret to be edited in; type it instead")
}
