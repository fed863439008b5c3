package source

import "golang.org/x/sys/unix"

// maxPack is the largest file that a git may write, in bytes: a repository
// that sends more than one commit's worth must not fill the disk.
const maxPack = 1 << 30

// limitFiles bounds what a process and its children may write to one file.
// Without it the time limit still holds, so its failure is no reason to stop.
func limitFiles(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: maxPack, Max: maxPack}, nil)
}
