package attack

// kernelAttacks are tried by root in the container, in one run.
func kernelAttacks() []attack {
	return []attack{
		{
			name: "namespaces", what: "new namespaces of all eight kinds, the user's first", stops: "seccomp; no `SYS_ADMIN`",
			script: "burglar namespaces\nrefuse unshare -U -r id\nrefuse unshare -m id\nrefuse unshare -n id",
		},
		{name: "clone3", what: "a user namespace by `clone3`, whose flags a filter can't see", stops: "seccomp answers that there is no such call", script: "burglar clone3"},
		{
			name: "setns", what: "joining the namespaces of PID 1", stops: "PID 1 is not dumpable; no `SYS_ADMIN`",
			script: "burglar setns\nrefuse nsenter -t 1 -m -n id",
		},
		{
			name: "mount", what: "mounting: `tmpfs`, `proc`, `sysfs`, `cgroup`, `debugfs`, `overlay`, disks, binds, the new calls", stops: "seccomp; no `SYS_ADMIN`",
			script: `burglar mount-api
mkdir -p /tmp/m
for fs in tmpfs proc sysfs cgroup cgroup2 debugfs tracefs securityfs bpf overlay devtmpfs mqueue; do refuse mount -t $fs none /tmp/m; done
refuse mount /dev/vda /tmp/m
refuse mount --bind /proc /tmp/m
refuse mount -o remount,rw /.ci
refuse losetup -f /bin/busybox`,
		},
		{
			name: "masked-paths", what: "reading and uncovering what is masked: `/proc/kcore`, `/proc/keys`, `/sys/firmware`", stops: "the engine's masks, which take `SYS_ADMIN` to lift",
			script: `refuse umount /proc/kcore
refuse umount /sys/firmware
refuse umount -l /proc/sys
for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug; do if [ -s "$f" ] && head -c 1 "$f" 2>/dev/null | grep -q .; then echo "BREACH: $f"; else echo "held: $f"; fi; done
if ls /sys/firmware 2>/dev/null | grep -q .; then echo "BREACH: /sys/firmware"; else echo "held: /sys/firmware"; fi`,
		},
		{
			name: "proc-sys", what: "the kernel's settings: `core_pattern`, `modprobe`, `ip_forward`, `panic`, `hostname`, …", stops: "`/proc/sys` is read-only",
			script: `for f in kernel/core_pattern kernel/modprobe kernel/hostname kernel/panic kernel/randomize_va_space kernel/sysrq vm/overcommit_memory vm/drop_caches fs/suid_dumpable net/ipv4/ip_forward net/ipv4/conf/all/route_localnet net/ipv6/conf/all/disable_ipv6; do
  if [ -e /proc/sys/$f ]; then if (cat /proc/sys/$f > /tmp/was; cat /tmp/was > /proc/sys/$f) 2>/dev/null; then echo "BREACH: $f"; else echo "held: $f"; fi; fi
done
if (echo h > /proc/sysrq-trigger) 2>/dev/null; then echo BREACH: sysrq; else echo "held: sysrq"; fi`,
		},
		{
			name: "cgroups", what: "the cgroup's own files: `release_agent`, more memory, all devices", stops: "`/sys/fs/cgroup` is read-only, and no cgroup file system can be mounted",
			script: `for f in $(find /sys/fs/cgroup -name release_agent -o -name memory.limit_in_bytes -o -name memory.max -o -name devices.allow -o -name pids.max -o -name cgroup.procs -o -name notify_on_release 2>/dev/null); do
  if (echo 1 > $f) 2>/dev/null; then echo "BREACH: $f"; else echo "held: $f"; fi
done
for d in /sys/fs/cgroup/*/; do if mkdir $d/evil 2>/dev/null; then echo "BREACH: a cgroup in $d"; else echo "held: $d"; fi; done
mkdir -p /tmp/cg && refuse mount -t cgroup -o memory none /tmp/cg`,
		},
		{
			name: "sysfs", what: "`uevent_helper`, power states and devices by `/sys`", stops: "`/sys` is read-only",
			script: `for f in /sys/kernel/uevent_helper /sys/power/state /sys/class/net/eth0/mtu /sys/kernel/mm/transparent_hugepage/enabled /sys/module/nf_tables/uevent; do
  if (echo x > $f) 2>/dev/null; then echo "BREACH: $f"; else echo "held: $f"; fi
done`,
		},
		{
			name: "devices", what: "devices of the machine: disks, memory, `/dev/kmsg`, `/dev/kvm`, `/dev/fuse`, made or opened", stops: "no `MKNOD`; the devices cgroup; `/dev` has the harmless ones only",
			script: "burglar devices\nrefuse mknod /tmp/d b 254 0\nrefuse dmesg -c",
		},
		{name: "modules", what: "loading and unloading kernel modules", stops: "seccomp; no `SYS_MODULE`", script: "burglar modules\nrefuse insmod /bin/busybox\nrefuse rmmod nf_tables"},
		{name: "bpf", what: "programs and maps in the kernel by `bpf`", stops: "seccomp; no `BPF`", script: "burglar bpf"},
		{name: "perf", what: "watching the machine, and PID 1, by `perf_event_open`", stops: "seccomp; no `PERFMON`", script: "burglar perf"},
		{name: "kernel-keys", what: "the kernel's keyrings, which no namespace separates", stops: "seccomp", script: "burglar keys"},
		{name: "file-handles", what: "a file of the host's disk by its inode (`open_by_handle_at`, CVE-2014-9357)", stops: "seccomp; no `DAC_READ_SEARCH`", script: "burglar handles"},
		{
			name: "administration", what: "`kexec`, `reboot`, the clock, `swapon`, `acct`, `chroot`, the kernel's log and 10 more calls of an administrator's", stops: "seccomp; eight capabilities, and none of these",
			script: "burglar calls\nrefuse hostname evil\nif date -s 2000-01-01 2>&1 | grep -q permitted; then echo 'held: the clock'; else echo BREACH; fi\nrefuse swapon /tmp",
		},
		{
			name: "capabilities", what: "getting more capabilities, also by ambient ones and `securebits`", stops: "the bounding set; `no-new-privileges`",
			script: `burglar capabilities
grep -q '^CapBnd:.00000000000004fb$' /proc/self/status && echo "held: the documented eight" || echo "BREACH: $(grep CapBnd /proc/self/status)"
grep -q '^NoNewPrivs:.1$' /proc/self/status && echo "held: no new privileges" || echo BREACH
grep -q '^Seccomp:.2$' /proc/self/status && echo "held: a filter" || echo BREACH`,
		},
		{name: "file-capabilities", what: "a program with `security.capability`, or `trusted.` attributes for overlayfs", stops: "no `SETFCAP`, no `SYS_ADMIN`", script: "burglar file-capability"},
		{name: "resource-limits", what: "raising resource limits, one's own and PID 1's", stops: "no `SYS_RESOURCE`", script: "burglar limits"},
		{name: "priorities", what: "going before others: real time, `nice -20`, never to be killed when memory runs out", stops: "no `SYS_NICE`, no `SYS_RESOURCE`", script: "burglar ranks"},
		{name: "vsock", what: "the hypervisor, by a socket that knows no network", stops: "nothing listens; newer engines' seccomp has no such socket", script: "burglar vsock"},
	}
}
