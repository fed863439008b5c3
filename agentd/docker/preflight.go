package docker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
)

// preflight tells the administrator which of the walls around jobs this engine
// does not have. Jobs are carried out all the same: the others stand.
func (d *Driver) preflight(ctx context.Context) {
	ctx, cancel := asking(ctx)
	defer cancel()
	info, err := d.api.Info(ctx)
	if err != nil {
		return // the next call says why
	}
	version, err := d.api.ServerVersion(ctx)
	if err != nil {
		return
	}
	found := append(weaknesses(&info, &version), softBuilds)
	if d.cfg.OpenHost {
		found = append(found, "the wall around jobs is switched off: they reach the engine's machine and its link-local network")
	}
	d.mu.Lock()
	told := d.warnings
	d.warnings = found
	d.mu.Unlock()
	for _, w := range found {
		if !slices.Contains(told, w) { // an agent that can't start tries again every few seconds
			d.log.Warn("the engine can't enforce all: "+w, "agent", d.cfg.Agent)
		}
	}
}

// Warnings implements runner.Driver.
func (d *Driver) Warnings() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.warnings
}

// softBuilds is true for every engine: the interface of its BuildKit has no such limits.
const softBuilds = "no limits of the kernel's for the RUN steps of Dockerfiles: their processes, memory and disk are measured from inside and limited after the fact"

// weaknesses are sentences about what an engine lacks.
func weaknesses(info *system.Info, version *types.Version) []string {
	var found []string
	say := func(missing bool, sentence string) {
		if missing {
			found = append(found, sentence)
		}
	}
	has := func(option string) bool {
		for _, o := range info.SecurityOptions {
			if strings.HasPrefix(o, "name="+option) || o == option {
				return true
			}
		}
		return false
	}
	say(!has("seccomp"), "seccomp is off, so that jobs may make any system call; use a kernel and an engine that have it")
	say(!has("apparmor") && !has("selinux"), "neither AppArmor nor SELinux confines containers; capabilities and seccomp alone do")
	say(!has("userns") && !has("rootless"), "no user namespaces: root in a container is root on the machine should it get out; keep the kernel and runc patched")
	say(info.CgroupVersion == "1", "cgroup v1: no pressure stall information, and a container's /sys/fs/cgroup is a writable folder in its own memory")
	say(!info.MemoryLimit, "no limit of memory")
	say(!info.SwapLimit, "no limit of swap: a job may use as much of it as of memory besides")
	say(!info.PidsLimit, "no limit of processes")
	say(!info.CPUCfsQuota, "no limit of cores")
	say(!quotas(info), "no quota of disk: what a run writes is measured every second and limited after the fact")
	for _, c := range version.Components {
		if c.Name != "runc" {
			continue
		}
		if holes := runcHoles(c.Version); holes != "" {
			found = append(found, fmt.Sprintf("runc %s is known for %s, unless your distribution has mended it; update runc", c.Version, holes))
		}
	}
	return found
}

// quotas says whether the engine's storage driver could have them.
func quotas(info *system.Info) bool {
	if info.Driver == "btrfs" || info.Driver == "zfs" {
		return true
	}
	for _, s := range info.DriverStatus {
		if info.Driver == "overlay2" && s[0] == "Backing Filesystem" && s[1] == "xfs" {
			return true
		}
	}
	return false
}

// runcHoles names the escapes that a version of runc has by its number:
// CVE-2024-21626 is mended in 1.1.12, the three of 2025 in 1.2.8, 1.3.3 and
// 1.4.0-rc.3 (github.com/opencontainers/runc/security/advisories).
func runcHoles(version string) string {
	number, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), "-")
	number, _, _ = strings.Cut(number, "+")
	parts := strings.Split(number, ".")
	if len(parts) != 3 {
		return ""
	}
	var n [3]int
	for i, p := range parts {
		var err error
		if n[i], err = strconv.Atoi(p); err != nil {
			return ""
		}
	}
	before := func(major, minor, patch int) bool {
		return n[0] < major || n[0] == major && (n[1] < minor || n[1] == minor && n[2] < patch)
	}
	var holes []string
	if before(1, 1, 12) {
		holes = append(holes, "CVE-2024-21626")
	}
	if before(1, 2, 8) || n[0] == 1 && n[1] == 3 && n[2] < 3 {
		holes = append(holes, "CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881")
	}
	return strings.Join(holes, ", ")
}
