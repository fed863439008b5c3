package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// Verb is the argument that makes a program of ours a Sandbox's child.
const Verb = "pipeline-replay"

// Limits of a Sandbox's child. The memory is that which the whole process may
// write to; the interpreter itself takes about 20 MiB of it.
const (
	maxMemory  = 192 << 20
	maxStack   = 32 << 20
	maxSeconds = 3 // of CPU time, for one replay
)

// Main answers a Sandbox, when args say that this process is its child, and
// returns the exit code. ran is false for any other process.
func Main(args []string, in io.Reader, out io.Writer) (code int, ran bool) {
	if len(args) != 2 || args[1] != Verb {
		return 0, false
	}
	if err := serve(in, out); err != nil {
		return 1, true
	}
	return 0, true
}

func serve(in io.Reader, out io.Writer) error {
	if err := confine(); err != nil {
		return err
	}
	watchTime()
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var input Input
		if err := requests.Decode(&input); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := grantTime(); err != nil {
			return err
		}
		if err := answers.Encode(Evaluate(input)); err != nil {
			return err
		}
	}
}

// confine makes the kernel and the runtime end this process when it takes too much.
func confine() error {
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(maxMemory / 2)
	limit := syscall.Rlimit{Cur: maxMemory, Max: maxMemory}
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("the memory can't be limited: %w", err)
	}
	// Not every kernel counts what is written to; all count addresses. Go has taken many by now that it will not use.
	var pages uint64
	statm, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, err = fmt.Sscan(string(statm), &pages)
	}
	if err != nil {
		return fmt.Errorf("the memory can't be limited: %w", err)
	}
	limit.Cur = pages*uint64(os.Getpagesize()) + maxMemory
	limit.Max = limit.Cur
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return fmt.Errorf("the memory can't be limited: %w", err)
	}
	return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}

// exitTime is the exit code of a child whose time is up.
const exitTime = 3

// watchTime ends the process at the signal that its time is up; Go by itself only ignores it.
func watchTime() {
	up := make(chan os.Signal, 1)
	signal.Notify(up, syscall.SIGXCPU)
	go func() { // until the process ends
		<-up
		fmt.Fprintln(os.Stderr, timeUp)
		os.Exit(exitTime)
	}()
}

// timeUp is the last word of a child whose time is up.
const timeUp = "SIGXCPU: the time is up"

// grantTime allows one more replay its time: the limit is of what the process takes in all.
func grantTime() error {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CPU, &limit); err != nil {
		return err
	}
	limit.Cur = uint64(used.Utime.Sec+used.Stime.Sec) + 1 + maxSeconds
	return syscall.Setrlimit(syscall.RLIMIT_CPU, &limit)
}
