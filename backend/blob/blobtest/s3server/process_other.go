//go:build unix && !linux

package s3server

import "syscall"

func withParent() *syscall.SysProcAttr { return nil }
