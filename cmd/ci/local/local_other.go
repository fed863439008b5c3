//go:build !linux

package local

import (
	"context"

	"ci/pkg/ci"
)

// Carry says that it can't.
func Carry(context.Context, Order) (*ci.Run, error) {
	return nil, ci.Errorf(ci.CodeInvalid, "ci exec runs on Linux only: its binary is what runs inside the containers; on this machine, use it in a virtual machine, or `ci run`")
}
