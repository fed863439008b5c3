package ci_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

const gib = int64(1) << 30

func TestClassFor(t *testing.T) {
	t.Parallel()
	classes := ci.DefaultConfig().Classes
	for _, c := range []struct {
		name   string
		cpus   float64
		memory int64
		want   string
	}{
		{"little", 0.1, 1, "small"},
		{"exactly small", 1, 2 * gib, "small"},
		{"one byte more", 1, 2*gib + 1, "medium"},
		{"cores decide", 1.5, 1, "medium"},
		{"memory decides", 0.5, 8 * gib, "large"},
		{"too many cores", 5, 1, ""},
		{"too much memory", 1, 9 * gib, ""},
	} {
		q, err := ci.ClassFor(classes, ci.Resources{CPUs: c.cpus, Memory: c.memory})
		require.Equal(t, c.want, q.Name, c.name)
		if c.want == "" {
			require.Equal(t, []string{"resources"}, fieldsOf(t, err), c.name)
			require.ErrorContains(t, err, "the largest class, large, holds 4 and 8GiB")
		}
	}
	_, err := ci.ClassFor(nil, ci.Resources{})
	require.ErrorContains(t, err, "PUT /config")
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0B", 1023: "1023B", 1024: "1KiB", 1536: "1.5KiB", 3 << 19: "1.5MiB", 2 * gib: "2GiB",
		1 << 40: "1TiB", 1 << 50: "1PiB", 1 << 60: "1024PiB",
	} {
		require.Equal(t, want, ci.Bytes(n))
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(ci.Duration(90 * time.Second))
	require.NoError(t, err)
	require.Equal(t, `"1m30s"`, string(b))
	var d ci.Duration
	require.NoError(t, json.Unmarshal(b, &d))
	require.Equal(t, ci.Duration(90*time.Second), d)
	for _, bad := range []string{`"90"`, `"soon"`, `90`, `""`} {
		require.Error(t, json.Unmarshal([]byte(bad), &d), bad)
	}
}

func TestLane(t *testing.T) {
	t.Parallel()
	require.Equal(t, "small.urgent", ci.Lane{Class: "small", Priority: ci.PriorityUrgent}.String())
	require.Equal(t, []ci.Priority{ci.PriorityUrgent, ci.PriorityNormal}, ci.Priorities, "most urgent first")
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	good := ci.DefaultConfig()
	require.NoError(t, good.Validate())
	for _, c := range []struct {
		name   string
		change func(*ci.Config)
		want   []string
	}{
		{"no timeout", func(c *ci.Config) { c.GlobalTimeout = 0 }, []string{"globalTimeout"}},
		{"long timeout", func(c *ci.Config) { c.GlobalTimeout = ci.Duration(8 * 24 * time.Hour) }, []string{"globalTimeout"}},
		{"negative grace", func(c *ci.Config) { c.AbortGrace = -1 }, []string{"abortGrace"}},
		{"no grace is fine", func(c *ci.Config) { c.AbortGrace = 0 }, nil},
		{"retention of a second", func(c *ci.Config) { c.Retention = ci.Duration(time.Second) }, []string{"retention"}},
		{"agents for a second", func(c *ci.Config) { c.AgentRetention = ci.Duration(time.Second) }, []string{"agentRetention"}},
		{"agents for ever", func(c *ci.Config) { c.AgentRetention = 0 }, nil},
		{"sizes", func(c *ci.Config) { c.MaxConsole, c.MaxResult, c.MaxResultFiles = 0, -1, 0 }, []string{"maxConsole", "maxResult", "maxResultFiles"}},
		{"no class", func(c *ci.Config) { c.Classes = nil }, []string{"classes"}},
		{"class twice", func(c *ci.Config) { c.Classes = []ci.Quota{c.Classes[0], c.Classes[0]} }, []string{"classes[1].name"}},
		{"empty class", func(c *ci.Config) { c.Classes = []ci.Quota{{Name: "none"}} }, []string{"classes[0]"}},
		{"descending", func(c *ci.Config) { c.Classes = []ci.Quota{c.Classes[1], c.Classes[0]} }, []string{"classes[1]"}},
		{"class whose name is none", func(c *ci.Config) { c.Classes[0].Name = "a/b" }, []string{"classes[0].name"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conf := ci.DefaultConfig()
			c.change(&conf)
			require.Equal(t, c.want, fieldsOf(t, conf.Validate()))
		})
	}
}

func TestTokenValidate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name string
		in   ci.Token
		want []string
	}{
		{"admin", ci.Token{Name: "a", Role: ci.RoleAdmin}, nil},
		{"limited", ci.Token{Name: "a", Role: ci.RoleTrigger, Jobs: []string{"x"}, ExpiresAt: now.Add(1)}, nil},
		{"no name", ci.Token{Role: ci.RoleRead}, []string{"name"}},
		{"unknown role", ci.Token{Name: "a", Role: "root"}, []string{"role"}},
		{"people can't mint for a run", ci.Token{Name: "a", Role: ci.RoleRun}, []string{"role"}},
		{"limited admin", ci.Token{Name: "a", Role: ci.RoleAdmin, Jobs: []string{"x"}}, []string{"jobs"}},
		{"bad job", ci.Token{Name: "a", Role: ci.RoleRead, Jobs: []string{"x", "*"}}, []string{"jobs[1]"}},
		{"expired", ci.Token{Name: "a", Role: ci.RoleRead, ExpiresAt: now}, []string{"expiresAt"}},
	} {
		require.Equal(t, c.want, fieldsOf(t, c.in.Validate(now)), c.name)
	}
}

func TestAgentAlive(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := &ci.Agent{SeenAt: now.Add(-time.Minute)}
	require.True(t, a.Alive(now, time.Minute))
	require.False(t, a.Alive(now, time.Minute-1))
}
