package docker

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
)

func withEnv(vars ...string) func(*runner.Order) {
	return func(o *runner.Order) { o.Env = vars }
}

func lines(s string) []string {
	l := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	slices.Sort(l)
	return l
}

func TestEnvironmentIsTheImagesAndOursAlone(t *testing.T) {
	t.Setenv("AGENT_SECRET", "of the agent")
	tests := []struct {
		name  string
		order runner.Order
		want  []string
	}{
		{
			"busybox", order("env", inImage(busyBase), withEnv("CI=true", "GREETING=a b\nc", "EMPTY=", "PATH=/bin:/sbin")),
			[]string{"CI=true", "EMPTY=", "FROM_IMAGE=yes", "GREETING=a b", "HOME=/root", "LOGNAME=root", "PATH=/bin:/sbin", "PWD=/workspace", "SHLVL=1", "USER=root", "c"},
		},
		{
			"another user", order("env", inImage(busyBase), asUser("dev"), withEnv("HOME=/elsewhere")),
			[]string{"FROM_IMAGE=yes", "HOME=/elsewhere", "LOGNAME=dev", "PATH=/bin", "PWD=/workspace", "SHLVL=1", "USER=dev"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, output, _ := play(t, test.order)
			got := slices.DeleteFunc(lines(output), func(l string) bool { return strings.HasPrefix(l, "_=") })
			require.Equal(t, test.want, got)
		})
	}
}

func TestUser(t *testing.T) {
	t.Parallel()
	tests := []struct{ user, want string }{
		{"", "uid=0(root) gid=0(root) groups=0(root)"},
		{"dev", "uid=1234(dev) gid=1235(dev) groups=1235(dev),1300(build)"},
		{"1234", "uid=1234(dev) gid=1235(dev) groups=1235(dev),1300(build)"},
		{"dev:build", "uid=1234(dev) gid=1300(build) groups=1300(build)"},
		{"4711", "uid=4711 gid=0(root) groups=0(root)"},
		{"4711:4712", "uid=4711 gid=4712 groups=4712"},
	}
	for _, test := range tests {
		t.Run(test.user, func(t *testing.T) {
			t.Parallel()
			// The working directory is the user's to write in.
			exit, output, _ := play(t, order("id; touch here", inImage(busyBase), asUser(test.user)))
			require.Zero(t, exit.Code)
			require.Equal(t, test.want+"\n", output)
		})
	}
}

func TestOrdersThatCanNotStart(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		order runner.Order
		says  string
	}{
		{"unknown user", order("", inImage(busyBase), asUser("nemo")), `user "nemo" is not in the image's /etc/passwd`},
		{"unknown group", order("", inImage(busyBase), asUser("dev:nemo")), `group "nemo" is not in the image's /etc/group`},
		{"no such interpreter", order("#!/usr/bin/perl -w\n", inImage(busyBase)), "asks for /usr/bin/perl, which the image does not have"},
		{"no such shell", order("", inImage(busyBase), func(o *runner.Order) { o.Spec.Environment.Shell = "/bin/zsh" }), "environment.shell is /bin/zsh"},
		{"workdir is a file", order("", inImage(busyBase), func(o *runner.Order) { o.Spec.Environment.Workdir = "/bin/busybox" }), "it is a file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, common, test.order, &output{})
			_, err := b.Run(t.Context(), func() { t.Error("started") }, &output{})
			require.ErrorContains(t, err, test.says)
		})
	}
	for _, dir := range []string{"/proc/self/fd/8", "/sys", "/dev/shm", "/.ci/x", "relative", "/a/../proc", "/x/"} {
		_, err := common.Prepare(t.Context(), order("", func(o *runner.Order) { o.Spec.Environment.Workdir = dir }), &output{})
		require.ErrorContains(t, err, "environment.workdir", dir)
	}
	_, err := common.Prepare(t.Context(), order("", inImage("localhost:1/none:1")), &output{})
	require.ErrorContains(t, err, "image localhost:1/none:1 can't be pulled")
}

func TestInspectShowsNoSecretAndNothingOfTheHost(t *testing.T) {
	t.Parallel()
	var console output
	o := order("echo $SECRET # script-canary", inImage(busyBase), withEnv("SECRET=env-canary"))
	b := prepare(t, common, o, &console)
	_, err := b.Run(t.Context(), func() {}, &console)
	require.NoError(t, err)
	require.Equal(t, "env-canary\n", console.String())

	got, raw, err := engine.ContainerInspectWithRaw(t.Context(), b.container, false)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "canary")

	h := got.HostConfig
	require.Equal(t, []string{"ALL"}, []string(h.CapDrop))
	require.ElementsMatch(t, []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_NET_BIND_SERVICE"}, []string(h.CapAdd))
	require.Equal(t, []string{"no-new-privileges"}, h.SecurityOpt)
	pids, off := o.Spec.Resources.Pids, false
	want := container.Resources{Memory: o.Spec.Resources.Memory, MemorySwap: o.Spec.Resources.Memory, NanoCPUs: 1e9, PidsLimit: &pids, OomKillDisable: &off}
	have := h.Resources
	require.Len(t, have.Ulimits, 1)
	require.Equal(t, "core=0:0", have.Ulimits[0].String())
	have.Ulimits = nil
	require.JSONEq(t, canonical(t, want), canonical(t, have))

	// What is left must be empty but for what is named here, also in fields that an engine may add.
	var all map[string]any
	require.NoError(t, json.Unmarshal([]byte(canonical(t, h)), &all))
	for _, known := range []string{"CapDrop", "CapAdd", "SecurityOpt", "Memory", "MemorySwap", "NanoCpus", "PidsLimit", "Ulimits", "MaskedPaths", "ReadonlyPaths"} {
		require.Contains(t, all, known)
		delete(all, known)
	}
	rest := map[string]any{
		"NetworkMode": "container:" + sandboxID(t, b), "LogConfig": map[string]any{"Type": "none"}, "RestartPolicy": map[string]any{"Name": "no"},
		"IpcMode": "private", "CgroupnsMode": "private", "ShmSize": float64(64 << 20), "Runtime": "runc",
		"Mounts": []any{map[string]any{"Type": "volume", "Source": b.shared.volume, "Target": "/.ci", "ReadOnly": true, "VolumeOptions": map[string]any{"NoCopy": true}}},
	}
	require.Equal(t, rest, all)
	require.Contains(t, h.MaskedPaths, "/proc/kcore")
	require.Contains(t, h.ReadonlyPaths, "/proc/sys")

	c := got.Config
	require.Equal(t, "0", c.User)
	require.Equal(t, "/", c.WorkingDir)
	require.Equal(t, []string{"PATH=/bin", "FROM_IMAGE=yes"}, c.Env, "only the image's own")
	require.Equal(t, []string{"NONE"}, c.Healthcheck.Test)
	require.Subset(t, c.Labels, map[string]string{"ci.agent": common.cfg.Agent, "ci.run": strconv.FormatInt(o.Run, 10), "ci.job": "job"})
}

func sandboxID(t *testing.T, b *box) string {
	t.Helper()
	got, err := engine.ContainerInspect(t.Context(), b.sandbox.name)
	require.NoError(t, err)
	return got.ID
}

// canonical is v as JSON without what is empty.
func canonical(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	var m any
	require.NoError(t, json.Unmarshal(b, &m))
	b, err = json.Marshal(prune(m))
	require.NoError(t, err)
	return string(b)
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if p := prune(e); p == nil {
				delete(v, k)
			} else {
				v[k] = p
			}
		}
		if len(v) == 0 {
			return nil
		}
		return v
	case []any:
		if len(v) == 0 || len(v) == 2 && v[0] == 0.0 && v[1] == 0.0 {
			return nil // ConsoleSize is [0,0]
		}
		return v
	case string:
		if v == "" {
			return nil
		}
		return v
	case bool:
		if !v {
			return nil
		}
		return v
	case float64:
		if v == 0 {
			return nil
		}
		return v
	}
	return v
}

func TestMoreCoresThanTheMachineHas(t *testing.T) {
	t.Parallel()
	var console output
	o := order("echo fine", inImage(busyBase))
	o.Spec.Resources.CPUs = 512
	b := prepare(t, common, o, &console)
	_, err := b.Run(t.Context(), func() {}, &console)
	require.NoError(t, err)
	require.Equal(t, "fine\n", console.String())
	got, err := engine.ContainerInspect(t.Context(), b.container)
	require.NoError(t, err)
	info, err := engine.Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, int64(info.NCPU)*1e9, got.HostConfig.NanoCPUs)
}
