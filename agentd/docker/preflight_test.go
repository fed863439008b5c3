package docker

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
	"github.com/stretchr/testify/require"
)

func TestWeaknesses(t *testing.T) {
	t.Parallel()
	best := system.Info{
		Driver: "overlay2", DriverStatus: [][2]string{{"Backing Filesystem", "xfs"}}, SecurityOptions: []string{"name=seccomp,profile=builtin", "name=apparmor", "name=userns"},
		CgroupVersion: "2", MemoryLimit: true, SwapLimit: true, PidsLimit: true, CPUCfsQuota: true,
	}
	runc := func(v string) *types.Version {
		return &types.Version{Components: []types.ComponentVersion{{Name: "runc", Version: v}}}
	}
	require.Empty(t, weaknesses(&best, runc("1.3.3")))
	all := strings.Join(weaknesses(&system.Info{CgroupVersion: "1"}, runc("1.1.5+ds1")), "\n")
	for _, word := range []string{"seccomp", "AppArmor", "user namespaces", "cgroup v1", "memory", "swap", "processes", "cores", "quota", "CVE-2024-21626, CVE-2025-31133"} {
		require.Contains(t, all, word)
	}
	for version, want := range map[string]bool{"1.1.11": true, "1.1.12": true, "1.2.7": true, "1.2.8": false, "1.3.2": true, "1.3.3": false, "1.4.0-rc.3": false, "unknown": false} {
		require.Equal(t, want, runcHoles(version) != "", version)
	}
	info, err := engine.Info(t.Context())
	require.NoError(t, err)
	require.NotPanics(t, func() { weaknesses(&info, runc("")) })
}
