package inner

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const needs = "start the container with --privileged, or with the narrower list in docs/operations.md, \"Deploy\""

// privileged says what the container may not do, which an engine has to.
func privileged() error {
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return fmt.Errorf("the container's capabilities can't be read: %w", err)
	}
	var missing []string
	for name, bit := range map[string]int{"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN} {
		if data[bit/32].Effective&(1<<(bit%32)) == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("an engine can't run in this container, which lacks %s: %s", strings.Join(missing, " and "), needs)
	}
	return nil
}

// prepare makes folders, and makes writable what an engine has to write: the
// kernel's network settings, and control groups. It returns the group below
// which the engine's containers go.
func prepare(data string, owner account) (parent string, err error) {
	if err := folders(data, owner); err != nil {
		return "", err
	}
	if err := writable("/proc/sys", "/proc/sys/net/ipv4/ip_forward"); err != nil {
		return "", fmt.Errorf("the kernel's network settings can't be written: %w; %s", err, needs)
	}
	parent, err = controlGroups("/sys/fs/cgroup", "/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("control groups can't be written: %w; %s", err, needs)
	}
	return parent, nil
}

// folders makes the data's, and throws away what an earlier life of this
// container has left of its processes.
func folders(data string, owner account) error {
	agent := filepath.Join(data, "agent")
	err := errors.Join(os.RemoveAll(runFolder), os.MkdirAll(runFolder, 0o755), os.MkdirAll(filepath.Join(data, "engine"), 0o711), os.MkdirAll(agent, 0o700))
	if err != nil {
		return fmt.Errorf("the data folder can't be used: %w; give the container a volume at %s", err, data)
	}
	return os.Chown(agent, int(owner.uid), int(owner.gid))
}

// writable mounts a read-only mount again, for writing, if a file in it can't be written.
func writable(mount, file string) error {
	if unix.Access(file, unix.W_OK) == nil {
		return nil
	}
	const flags = unix.MS_REMOUNT | unix.MS_BIND | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RELATIME
	if err := unix.Mount("", mount, "", flags, ""); err != nil {
		return fmt.Errorf("mount %s again for writing: %w", mount, err)
	}
	return unix.Access(file, unix.W_OK)
}

// controlGroups prepares the control groups at root for an engine, and returns
// the path that its containers go below; "" is the engine's default.
//
// Version 2 knows no group with both processes and groups that have resources:
// everything here moves into one beside the containers'.
func controlGroups(root, self string) (parent string, err error) {
	text, err := os.ReadFile(self)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); errors.Is(err, fs.ErrNotExist) {
		return below(group(string(text), "memory")), nil
	}
	own := group(string(text), "")
	base := filepath.Join(root, own)
	if err := writable(root, filepath.Join(base, "cgroup.procs")); err != nil {
		return "", err
	}
	if err := moveAll(base, filepath.Join(base, "init")); err != nil {
		return "", err
	}
	controllers, err := os.ReadFile(filepath.Join(base, "cgroup.controllers"))
	if err != nil {
		return "", err
	}
	var all []string
	for c := range strings.FieldsSeq(string(controllers)) {
		all = append(all, "+"+c)
	}
	return below(own), os.WriteFile(filepath.Join(base, "cgroup.subtree_control"), []byte(strings.Join(all, " ")), 0o644)
}

// below is the engine's setting for containers' groups: none at the root.
func below(own string) string {
	if own == "/" {
		return ""
	}
	return own
}

// group finds our own in /proc/self/cgroup, lines of "number:controllers:path":
// that of one controller, or with "" that of version 2.
func group(text, controller string) string {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for name := range strings.SplitSeq(parts[1], ",") {
			if name == controller {
				return parts[2]
			}
		}
	}
	return "/"
}

// moveAll moves the processes of one group into another, which it makes.
func moveAll(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	list, err := os.ReadFile(filepath.Join(from, "cgroup.procs"))
	if err != nil {
		return err
	}
	for pid := range strings.FieldsSeq(string(list)) {
		err := os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(pid), 0o644)
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended meanwhile
			return err
		}
	}
	return nil
}

// leastMTU is the smallest of our networks' packet sizes, where that is less
// than Ethernet's: the engine would take that for granted. 0 needs no setting.
func leastMTU() int {
	all, err := net.Interfaces()
	if err != nil {
		return 0
	}
	least := 1500
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 && i.MTU > 0 {
			least = min(least, i.MTU)
		}
	}
	if least == 1500 {
		return 0
	}
	return least
}
