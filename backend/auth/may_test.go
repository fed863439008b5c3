package auth

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestMay goes through every action × role × kind of job.
func TestMay(t *testing.T) {
	t.Parallel()
	roles := append(slices.Clone(ci.Roles), ci.RoleRun, "", "root")
	for _, rule := range Rules {
		for _, role := range roles {
			listed := slices.Contains(rule.Roles, role)
			want := func(ok bool) ci.Code {
				if ok {
					return ""
				}
				return ci.CodeForbidden
			}
			free := Principal{Role: role}
			limited := Principal{Role: role, Jobs: []string{"mine"}, Triggers: []string{"mine"}}
			if role != ci.RoleRun {
				require.Equal(t, want(listed), ci.CodeOf(May(free, rule.Action, "any")), "%s %s", role, rule.Action)
			}
			require.Equal(t, want(listed), ci.CodeOf(May(limited, rule.Action, "mine")), "%s %s", role, rule.Action)
			require.Equal(t, want(listed), ci.CodeOf(May(limited, rule.Action, "")), "%s %s", role, rule.Action)
			foreign := want(listed)
			if rule.OfJob {
				foreign = ci.CodeNotFound
			}
			require.Equal(t, foreign, ci.CodeOf(May(limited, rule.Action, "theirs")), "%s %s", role, rule.Action)
		}
	}
	require.Equal(t, ci.CodeForbidden, ci.CodeOf(May(Principal{Role: ci.RoleAdmin}, "job.explode", "")))
}

// TestPolicy pins the roles' meaning in the words of the design.
func TestPolicy(t *testing.T) {
	t.Parallel()
	may := func(r ci.Role) []Action {
		var out []Action
		for _, rule := range Rules {
			if May(Principal{Role: r, Jobs: []string{"j"}, Triggers: []string{"j"}}, rule.Action, "j") == nil {
				out = append(out, rule.Action)
			}
		}
		return out
	}
	look := []Action{JobRead, RunRead, EventRead, AgentRead, QueueRead, ConfigRead, SecretList, SSHKeyRead, ForgeRead, EventTriggerRead, MetricsRead, SelfRead, SelfEnd}
	require.ElementsMatch(t, look, may(ci.RoleRead))
	require.ElementsMatch(t, append(slices.Clone(look), RunTrigger, RunWithdraw, RunAbort, RunPin), may(ci.RoleTrigger))
	require.ElementsMatch(t, append(slices.Clone(look), RunTrigger, RunWithdraw, RunAbort, RunPin, RetentionPlan, JobWrite, SecretWrite, EventTriggerManage), may(ci.RoleMaintain))
	require.ElementsMatch(t, []Action{AgentWork, SelfRead}, may(ci.RoleAgent))
	require.Len(t, may(ci.RoleAdmin), len(Rules)-1, "all but what takes an agent")
	require.ElementsMatch(t, []Action{JobRead, RunRead, RunTrigger, RunAbort, SelfRead}, may(ci.RoleRun))
	require.Empty(t, Principal{Role: ci.RoleRun}.Visible())
	require.NotNil(t, Principal{Role: ci.RoleRun}.Visible(), "a run's token without jobs sees none, not all")
	require.Nil(t, Principal{Role: ci.RoleRead}.Visible())
}

// TestMayUnpin has a trigger token its own pins alone. The tokens of pipelines, of
// any cid and any day, are one caller.
func TestMayUnpin(t *testing.T) {
	t.Parallel()
	for _, role := range []ci.Role{ci.RoleAdmin, ci.RoleMaintain} {
		require.Nil(t, MayUnpin(Principal{Name: "me", Role: role}), "%s may take all away", role)
	}
	monday := PipelinesName(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC))
	tuesday := PipelinesName(time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC))
	require.NotEqual(t, monday, tuesday)
	for _, c := range []struct {
		by, me string
		may    bool
	}{
		{"me", "me", true},
		{"you", "me", false},
		{"", "me", false},
		{monday, tuesday, true},
		{monday, "me", false},
		{"me", monday, false},
		{monday, "pipelines-mine", false},
		{"pipelines-mine", monday, false},
		{monday, "my-" + tuesday, false},
	} {
		err := MayUnpin(Principal{Name: c.me, Role: ci.RoleTrigger})(c.by)
		if c.may {
			require.NoError(t, err, "%+v", c)
		} else {
			require.Equal(t, ci.CodeForbidden, ci.CodeOf(err), "%+v", c)
		}
	}
}
