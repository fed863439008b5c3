package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestRunToken(t *testing.T) {
	t.Parallel()
	f := setup(t)
	bearer, hash := ci.NewRunToken(7)
	record := ci.RunToken{Run: ci.RunRef{Job: "mine", Run: 7}, Hash: hash, Triggers: []string{"z", "child"}, ExpiresAt: f.clock.at.Add(time.Hour)}
	f.book.runs = map[int64]ci.RunToken{7: record}
	p, err := f.Verify(t.Context(), bearer)
	require.NoError(t, err)
	require.Equal(t, Principal{
		Name: "mine/7", Role: ci.RoleRun, Jobs: []string{"child", "mine", "z"},
		Run: &ci.RunRef{Job: "mine", Run: 7}, Triggers: []string{"z", "child"}, ExpiresAt: record.ExpiresAt,
	}, p)
	require.Error(t, ci.ValidateName(p.Name), "no token of people's has such a name")

	record.Triggers = nil
	f.book.runs[7] = record
	p, err = f.Verify(t.Context(), bearer)
	require.NoError(t, err)
	require.Equal(t, []string{"mine"}, p.Visible(), "a right that was taken away is gone at once")

	other, _ := ci.NewRunToken(7)
	for name, bad := range map[string]string{
		"another secret": other,
		"another run":    strings.Replace(bearer, "run.7.", "run.8.", 1),
		"the hash":       "run.7." + hash[:43],
		"no secret":      "run.7.",
		"one byte less":  bearer[:len(bearer)-1],
		"a line end":     bearer + "\n",
	} {
		_, err := f.Verify(t.Context(), bad)
		require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err), name)
	}

	f.clock.at = f.clock.at.Add(time.Hour + time.Second)
	_, err = f.Verify(t.Context(), bearer)
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err), "it expires at the run's deadline")
	f.clock.at = f.clock.at.Add(-time.Hour)
	_, err = f.Verify(t.Context(), bearer)
	require.NoError(t, err)
	delete(f.book.runs, 7)
	_, err = f.Verify(t.Context(), bearer)
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err), "it ends with the run, at once")

	f.book.down = ci.Errorf(ci.CodeUnavailable, "the database is away")
	_, err = f.Verify(t.Context(), bearer)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
}

func TestMayRun(t *testing.T) {
	t.Parallel()
	me := ci.RunRef{Job: "mine", Run: 7}
	p := Principal{Name: "mine/7", Role: ci.RoleRun, Jobs: []string{"child", "mine"}, Run: &me, Triggers: []string{"child"}}
	own, sibling := &ci.Run{ID: 7, Job: "mine"}, &ci.Run{ID: 6, Job: "mine"}
	child, stranger := &ci.Run{ID: 8, Job: "child", Parent: &me}, &ci.Run{ID: 9, Job: "child", Parent: &ci.RunRef{Job: "mine", Run: 6}}
	orphan := &ci.Run{ID: 10, Job: "child"}
	for run, want := range map[*ci.Run][2]ci.Code{ // to read, to abort
		own: {"", ci.CodeForbidden}, sibling: {"", ci.CodeForbidden}, child: {"", ""},
		stranger: {ci.CodeNotFound, ci.CodeNotFound}, orphan: {ci.CodeNotFound, ci.CodeNotFound},
	} {
		require.Equal(t, want, [2]ci.Code{ci.CodeOf(MayRun(p, RunRead, run)), ci.CodeOf(MayRun(p, RunAbort, run))}, "%+v", run)
		require.NoError(t, MayRun(Principal{Role: ci.RoleTrigger}, RunAbort, run))
	}
	require.NoError(t, May(p, RunTrigger, "child"))
	require.Equal(t, ci.CodeForbidden, ci.CodeOf(May(p, RunTrigger, "mine")), "not itself, unless its triggers say so")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(May(p, RunTrigger, "other")))
	for _, a := range []Action{JobWrite, EventRead, AgentRead, AgentDrain, AgentWork, QueueRead, ConfigRead, ConfigWrite, TokenManage, MetricsRead} {
		require.Equal(t, ci.CodeForbidden, ci.CodeOf(May(p, a, "")), a)
	}
}
