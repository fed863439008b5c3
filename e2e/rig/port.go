package rig

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// FreeAddr is an address of 127.0.0.1 that nobody listens on at the moment. Its
// port is below those that the kernel gives to connections that others open
// (32768, unless somebody has changed that), so that it stays free.
func FreeAddr() (string, error) {
	var err error
	for range 50 {
		var l net.Listener
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(22_000))
		if l, err = net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", err
}
