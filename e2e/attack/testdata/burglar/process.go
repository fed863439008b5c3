package main

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracing is all that one process can do to another's memory and files, done to init.
func tracing() {
	runtime.LockOSThread()
	refused("ptrace attach", unix.PtraceAttach(1))
	refused("ptrace seize", unix.PtraceSeize(1))
	buffer := make([]byte, 16)
	local := []unix.Iovec{{Base: &buffer[0], Len: 16}}
	_, err := unix.ProcessVMReadv(1, local, []unix.RemoteIovec{{Base: 0x400000, Len: 16}}, 0)
	refused("reading its memory", err)
	_, err = unix.ProcessVMWritev(1, local, []unix.RemoteIovec{{Base: 0x400000, Len: 16}}, 0)
	refused("writing its memory", err)
	fd, err := unix.PidfdOpen(1, 0)
	for i := range 3 {
		if err == nil {
			_, err := unix.PidfdGetfd(fd, i, 0)
			refused(fmt.Sprintf("taking its descriptor %d", i), err)
		}
	}
	for _, name := range []string{"mem", "environ", "maps", "auxv", "stack", "syscall", "fd/0", "fd/1", "root/etc/passwd", "cwd/etc/passwd", "exe", "task/1/mem", "ns/mnt", "clear_refs"} {
		f, err := os.OpenFile("/proc/1/"+name, os.O_RDWR, 0)
		if err != nil {
			f, err = os.Open("/proc/1/" + name)
		}
		if err == nil {
			_, err = f.Read(buffer) // some open for everybody, and refuse then
		}
		refused("/proc/1/"+name, err)
	}
}

func keys() {
	_, err := unix.AddKey("user", "burglar", []byte("x"), unix.KEY_SPEC_SESSION_KEYRING)
	refused("add_key", err)
	_, err = unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
	refused("keyctl", err)
	_, err = unix.RequestKey("user", "burglar", "", unix.KEY_SPEC_SESSION_KEYRING)
	refused("request_key", err)
}

func capabilities() {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for n := range 2 {
		data[n] = unix.CapUserData{Effective: ^uint32(0), Permitted: ^uint32(0), Inheritable: ^uint32(0)}
	}
	data[1] = unix.CapUserData{Effective: 0x1ff, Permitted: 0x1ff, Inheritable: 0x1ff}
	refused("all capabilities", unix.Capset(&header, &data[0]))
	refused("SYS_ADMIN as an ambient one", unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SYS_ADMIN, 0, 0))
	refused("new privileges again", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
	refused("securebits", unix.Prctl(unix.PR_SET_SECUREBITS, 0x2f, 0, 0, 0))
}

// fileCapability gives a program of its own what root lacks.
func fileCapability() {
	value := []byte{1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0xff, 1, 0, 0}
	if err := os.WriteFile("/tmp/able", []byte("#!/bin/sh\n"), 0o755); err != nil {
		fmt.Println("BREACH: can't try:", err)
		return
	}
	refused("security.capability on a file", unix.Setxattr("/tmp/able", "security.capability", value, 0))
	refused("trusted.overlay on a folder", unix.Setxattr("/tmp", "trusted.overlay.opaque", []byte("y"), 0))
}

func limits() {
	for name, which := range map[string]int{"core": unix.RLIMIT_CORE, "memlock": unix.RLIMIT_MEMLOCK, "nice": unix.RLIMIT_NICE, "rtprio": unix.RLIMIT_RTPRIO} {
		limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
		refused("an endless limit for "+name, unix.Prlimit(0, which, &limit, nil))
		refused("an endless limit of init for "+name, unix.Prlimit(1, which, &limit, nil))
	}
}

// ranks is about being served before others, and being killed after them.
func ranks() {
	refused("a higher priority", unix.Setpriority(unix.PRIO_PROCESS, 0, -20))
	refused("a higher priority of init", unix.Setpriority(unix.PRIO_PROCESS, 1, -20))
	param := [1]int32{50}
	call("real time", unix.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&param)))
	call("real time for the disk", unix.SYS_IOPRIO_SET, 1, 0, 1<<13)
	refused("never to be killed for memory", os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0))
	refused("that init is never killed for memory", os.WriteFile("/proc/1/oom_score_adj", []byte("-1000"), 0))
}

// strangle takes from init what it needs to live. It may work: what ends then is this run alone.
func strangle() {
	for _, which := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_FSIZE, unix.RLIMIT_AS, unix.RLIMIT_NPROC, unix.RLIMIT_STACK, unix.RLIMIT_CPU} {
		fmt.Println("init's limit", which, unix.Prlimit(1, which, &unix.Rlimit{}, nil))
	}
	fmt.Println("init is killed first", os.WriteFile("/proc/1/oom_score_adj", []byte("1000"), 0))
}
