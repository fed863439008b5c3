package pid1

import (
	"runtime"
	"sync"
)

const (
	// processors are enough to carry a script's output; each may want a thread of its own.
	processors = 4
	// threads are as many as the runtime ever wants for that many processors
	// and the few calls that block beside them.
	threads = 10
)

// reserveThreads makes the threads of this process before a script can take
// all that the container may have: a Go program that can't make a thread dies,
// and this one is the container's first. The runtime keeps those that it has.
func reserveThreads(n int) {
	runtime.GOMAXPROCS(min(processors, runtime.GOMAXPROCS(0)))
	var there, gone sync.WaitGroup
	there.Add(n)
	enough := make(chan struct{})
	for range n {
		gone.Go(func() {
			runtime.LockOSThread() // it waits on a thread that nobody else can have
			defer runtime.UnlockOSThread()
			there.Done()
			<-enough
		})
	}
	there.Wait()
	close(enough)
	gone.Wait()
}
