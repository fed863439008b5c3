package main

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func namespaces() {
	for name, flag := range map[string]int{
		"user": unix.CLONE_NEWUSER, "mount": unix.CLONE_NEWNS, "network": unix.CLONE_NEWNET, "pid": unix.CLONE_NEWPID,
		"ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME,
	} {
		refused("a new "+name+" namespace", unix.Unshare(flag))
	}
}

// clone3 hides its flags in memory, where a filter can't see them.
func clone3() {
	args := [11]uint64{0: unix.CLONE_NEWUSER, 4: uint64(unix.SIGCHLD)}
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if errno == 0 && pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	refused("clone3 into a new user namespace", errno)
}

func setns() {
	for _, ns := range []string{"net", "mnt", "pid", "user", "uts", "ipc"} {
		for _, of := range []string{"1", "self"} {
			fd, err := unix.Open("/proc/"+of+"/ns/"+ns, unix.O_RDONLY, 0)
			if err == nil {
				err = unix.Setns(fd, 0)
			}
			refused("joining the "+ns+" namespace of "+of, err)
		}
	}
}

// calls are those that belong to a machine's administrator. None has an effect
// should it get through, but for the clock, which is set to what it says.
func calls() {
	var now unix.Timeval
	_ = unix.Gettimeofday(&now)
	time := uintptr(unsafe.Pointer(&now))
	var info [256]byte
	buffer := uintptr(unsafe.Pointer(&info))
	call("kexec_load", unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)
	call("kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, ^uintptr(0), ^uintptr(0), 0, 0, 0)
	call("reboot", unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_CAD_ON, 0)
	call("settimeofday", unix.SYS_SETTIMEOFDAY, time, 0)
	call("swapon", unix.SYS_SWAPON, text("/tmp"), 0)
	call("acct", unix.SYS_ACCT, 0)
	call("syslog", unix.SYS_SYSLOG, 3, buffer, 256)
	call("sethostname", unix.SYS_SETHOSTNAME, text("evil"), 4)
	call("quotactl", unix.SYS_QUOTACTL, 0, text("/dev/vda"), 0, 0)
	call("vhangup", unix.SYS_VHANGUP)
	call("fanotify_init", unix.SYS_FANOTIFY_INIT, 0, 0)
	call("userfaultfd", unix.SYS_USERFAULTFD, 0)
	call("kcmp", unix.SYS_KCMP, 1, 1, 0, 0, 0)
	call("chroot", unix.SYS_CHROOT, text("/tmp"))
	call("pivot_root", unix.SYS_PIVOT_ROOT, text("/"), text("/tmp"))
	call("setdomainname", unix.SYS_SETDOMAINNAME, text("evil"), 4)
	call("move_pages of init", unix.SYS_MOVE_PAGES, 1, 0, 0, 0, 0, 0)
}

// mountAPI is mount in its old and its new form.
func mountAPI() {
	refused("mount", unix.Mount("none", "/tmp", "tmpfs", 0, ""))
	refused("a bind mount", unix.Mount("/", "/tmp", "", unix.MS_BIND, ""))
	refused("a remount of the toolbox", unix.Mount("", "/.ci", "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	refused("a remount of /proc/sys", unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	refused("umount of /proc/sys", unix.Unmount("/proc/sys", unix.MNT_DETACH))
	refused("umount of /sys/firmware", unix.Unmount("/sys/firmware", unix.MNT_DETACH))
	call("fsopen", unix.SYS_FSOPEN, text("proc"), 0)
	call("open_tree", unix.SYS_OPEN_TREE, uintptr(0xffffff9c), text("/"), 1)
	call("move_mount", unix.SYS_MOVE_MOUNT, uintptr(0xffffff9c), text("/tmp"), uintptr(0xffffff9c), text("/mnt"), 0)
	call("mount_setattr", unix.SYS_MOUNT_SETATTR, uintptr(0xffffff9c), text("/.ci"), 0, 0, 0)
}

func bpf() {
	mapping := [4]uint32{2, 4, 4, 1} // an array of one number
	call("bpf: a map", unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&mapping)), unsafe.Sizeof(mapping))
	call("bpf: the next program", unix.SYS_BPF, 11, uintptr(unsafe.Pointer(&mapping)), unsafe.Sizeof(mapping))
}

func perf() {
	for what, pid := range map[string]int{"this process": 0, "init": 1, "the whole machine": -1} {
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
		_, err := unix.PerfEventOpen(&attr, pid, max(-1, -1-pid), -1, 0)
		refused("watching "+what, err)
	}
}

func modules() {
	fd, err := unix.Open("/proc/self/exe", unix.O_RDONLY, 0)
	if err != nil {
		fmt.Println("BREACH: the burglar can't read itself:", err)
		return
	}
	refused("init_module", unix.InitModule([]byte("\x7fELF"), ""))
	refused("finit_module", unix.FinitModule(fd, "", 0))
	refused("delete_module", unix.DeleteModule("nf_tables", unix.O_NONBLOCK))
}

// handles is how a file of the host's disk is opened by its number
// (CVE-2014-9357, "shocker").
func handles() {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		fmt.Println("BREACH: / can't be opened:", err)
		return
	}
	_, err = unix.OpenByHandleAt(fd, unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0}), unix.O_RDONLY)
	refused("opening inode 2 by handle", err)
}

func devices() {
	for name, d := range map[string]struct {
		mode  uint32
		major uint32
		minor uint32
	}{
		"/tmp/mem": {unix.S_IFCHR, 1, 1}, "/tmp/kmsg": {unix.S_IFCHR, 1, 11}, "/tmp/disk": {unix.S_IFBLK, 254, 0}, "/tmp/sda": {unix.S_IFBLK, 8, 0},
		"/tmp/fuse": {unix.S_IFCHR, 10, 229}, "/tmp/kvm": {unix.S_IFCHR, 10, 232}, "/tmp/tun": {unix.S_IFCHR, 10, 200},
	} {
		refused("mknod "+name, unix.Mknod(name, d.mode|0o600, int(unix.Mkdev(d.major, d.minor))))
	}
	for _, name := range []string{"/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/kvm", "/dev/vda", "/dev/sda", "/dev/net/tun", "/dev/vsock", "/dev/port"} {
		_, err := os.Open(name)
		refused("opening "+name, err)
	}
}
