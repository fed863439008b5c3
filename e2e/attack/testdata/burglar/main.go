// Command burglar tries, from inside a container, what a shell can't: system
// calls. It prints a line for each try, "held: …" or "BREACH: …".
package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	tricks := map[string]func(){
		"namespaces": namespaces, "clone3": clone3, "setns": setns, "calls": calls, "mount-api": mountAPI, "bpf": bpf, "perf": perf,
		"init": tracing, "keys": keys, "handles": handles, "sockets": sockets, "vsock": vsock, "capabilities": capabilities,
		"file-capability": fileCapability, "limits": limits, "ranks": ranks, "devices": devices, "modules": modules, "frames": frames,
		"strangle": strangle, "caller": caller, "relay": relay,
		"agent-harm": agentHarm, "agent-sign": agentSign, "agent-other": agentOther, "agent-call": agentCall,
	}
	if len(os.Args) != 2 || tricks[os.Args[1]] == nil {
		fmt.Println("BREACH: the burglar was asked for", os.Args[1:], "which it can't do")
		os.Exit(2)
	}
	tricks[os.Args[1]]()
}

// refused says how a try ended. Whatever is not an error is a breach.
func refused(what string, err error) {
	if err == nil || errors.Is(err, unix.Errno(0)) {
		fmt.Printf("BREACH: %s worked\n", what)
		return
	}
	fmt.Printf("held: %s: %v\n", what, err)
}

// call makes a system call and says how it ended.
func call(what string, number uintptr, args ...uintptr) {
	var a [6]uintptr
	copy(a[:], args)
	_, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	refused(what, errno)
}

func text(s string) uintptr {
	b := append([]byte(s), 0)
	return uintptr(unsafe.Pointer(&b[0]))
}
