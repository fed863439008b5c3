package rig

import "ci/pkg/porttest"

// FreeAddr is an address of 127.0.0.1 that nobody listens on, and that nobody
// else gets by chance.
func FreeAddr() (string, error) {
	addresses, err := porttest.Addresses("127.0.0.1", 1)
	if err != nil {
		return "", err
	}
	return addresses[0], nil
}
