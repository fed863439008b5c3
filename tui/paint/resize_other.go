//go:build !unix

package paint

import "os"

// Resized does nothing: this system does not tell.
func Resized(chan<- os.Signal) (stop func()) { return func() {} }
