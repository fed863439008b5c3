// Package step is the first process of a RUN step of a build. The interface of
// engines' builders has no limits for steps, or not all of them: so this
// process watches from inside what the step's processes use together, and ends
// them when it is too much. No process of the step can end, stop or trace it.
package step

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/disk"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// The exit statuses of a step that did not end by itself.
const (
	overLimit  = 125
	notStarted = 127
)

// Main runs args, a step's command with its arguments, within the limits that
// the environment names, and returns its exit status.
func Main(args []string) int {
	limits, err := take()
	if err == nil {
		err = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	var proc, again *os.File
	if err == nil {
		proc, err = openProc()
	}
	if err == nil {
		again, err = openProc()
	}
	if err != nil || len(args) == 0 {
		return ended(fmt.Sprintf("it can't be kept within its limits: %v", err))
	}
	deaf()
	count := func() string { return countProcesses(again, limits) }
	look := func() string { return lookAtProcesses(proc, limits) }
	warm(count, look)
	disks := disk.Begin(time.Now()) // before the step can write
	main, err := start(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s can't be started: %v\n", args[0], err)
		return notStarted
	}
	exit := make(chan int, 1)
	go func() { exit <- reap(main) }() // ends with the last process
	over := make(chan string, 3)
	go func() { over <- watch(countEvery, 1, count) }() // all three end with this process
	go func() { over <- watch(lookEvery, rest, look) }()
	go func() { over <- watchDisk(disks, limits) }()
	select {
	case status := <-exit:
		return status // the kernel ends what the step has left running
	case why := <-over:
		killAll()
		return ended(why)
	}
}

// warm does once all that is to be done in a hurry. This program may be in a
// file system that is slow when a part of it is needed for the first time, and
// slower still while a step uses up the machine.
func warm(looks ...func() string) {
	killAll() // there is nobody yet
	for _, look := range looks {
		for range 3 {
			_ = watch(0, 0, func() string { return look() + "." })
		}
	}
	_, _ = fmt.Fprintf(io.Discard, "\n%s%s%v\n", pipe.StepEnded, tooMany(pipe.StepLimits{}), ci.Bytes(1<<20))
}

// deaf takes every signal that can be taken and forgets it. The kernel keeps
// those away from a PID 1 that does not handle them, and the Go runtime
// handles them all. Ignored ones would be ignored by the step's processes too.
func deaf() {
	forgotten := make(chan os.Signal, 1)
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG:
		default:
			signal.Notify(forgotten, n)
		}
	}
}

// ended prints what is the last line of a step that was ended.
func ended(why string) int {
	fmt.Fprintf(os.Stderr, "\n%s%s\n", pipe.StepEnded, why)
	return overLimit
}

// take takes the limits out of the environment, and puts back what was in their place.
func take() (pipe.StepLimits, error) {
	var l pipe.StepLimits
	text := os.Getenv(pipe.StepLimitsIn)
	for _, name := range []string{pipe.StepLimitsIn, strings.ToLower(pipe.StepLimitsIn)} {
		if err := os.Unsetenv(name); err != nil {
			return l, err
		}
	}
	if err := json.Unmarshal([]byte(text), &l); err != nil || l.Memory <= 0 || l.Pids <= 0 {
		return l, fmt.Errorf("%s names none", pipe.StepLimitsIn)
	}
	for _, v := range l.Env {
		name, value, _ := strings.Cut(v, "=")
		if err := os.Setenv(name, value); err != nil {
			return l, err
		}
	}
	return l, nil
}

// start starts the step in a process group of its own. It is served after this
// process, and the first to go should the machine run out of memory.
func start(args []string) (int, error) {
	program, err := exec.LookPath(args[0])
	if err != nil {
		return 0, err
	}
	p, err := os.StartProcess(program, args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, err
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, p.Pid, 19)
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.Pid), []byte("500"), 0) // a favour, not a need
	return p.Pid, nil
}

// reap collects everybody who ends, and returns the status of main, as a shell says it.
func reap(main int) int {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return overLimit // nobody is left, and main was not seen: it can't be
		case pid == main && status.Signaled():
			return 128 + int(status.Signal())
		case pid == main:
			return status.ExitStatus()
		}
	}
}

// killAll ends all processes but this one. To processes that fork, all at once
// means that the kernel lets no child of theirs begin. They are collected when
// this process ends.
func killAll() { _ = unix.Kill(-1, unix.SIGKILL) }

// watchDisk returns a sentence when the step has written too much.
func watchDisk(disks *disk.Follower, l pipe.StepLimits) string {
	order := pipe.Watch{Step: max(l.Disk/64, 1<<20), Floor: l.Floor, Every: 10 * time.Second}
	why := ""
	err := disks.Follow(order, disk.Changed, nil, func(u pipe.Used) error {
		switch {
		case u.Blind != "":
			why = "its use of disk could not be measured: " + u.Blind
		case l.Disk >= 0 && u.Bytes > l.Disk:
			why = fmt.Sprintf("it has written %s to disk, and a step may write %s; write less, or have the agent's setting disk raised", ci.Bytes(u.Bytes), ci.Bytes(l.Disk))
		case u.Free < l.Floor:
			why = fmt.Sprintf("the engine's disk is nearly full, with %s left", ci.Bytes(u.Free))
		default:
			return nil
		}
		return errOver
	})
	if why == "" {
		why = fmt.Sprintf("its use of disk could not be measured: %v", err)
	}
	return why
}
