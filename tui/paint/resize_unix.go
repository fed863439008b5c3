//go:build unix

package paint

import (
	"os"
	"os/signal"
	"syscall"
)

// Resized has c told whenever the terminal may have got another size. stop ends it.
func Resized(c chan<- os.Signal) (stop func()) {
	signal.Notify(c, syscall.SIGWINCH)
	return func() { signal.Stop(c) }
}
