package uplinktest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func claimOnce(k *kit) {
	k.put(`{"script":"echo it","timeout":"7m","results":{"out":"out.txt"}}`)
	c, work := k.claimed()
	require.Equal(k.t, c.Run, work.Run.ID)
	require.Equal(k.t, k.agent, work.Run.Agent)
	require.Equal(k.t, ci.PhasePreparing, work.Run.Phase)
	require.Equal(k.t, "echo it", work.Run.Spec.Script)
	require.Equal(k.t, "out", work.Run.Spec.Results[0].Name)
	require.Equal(k.t, 7*time.Minute, work.Timeout)
	config, err := k.Admin.GetConfig(k.t.Context())
	require.NoError(k.t, err)
	require.Equal(k.t, time.Duration(config.AbortGrace), work.AbortGrace)
	require.Equal(k.t, []int64{config.MaxConsole, config.MaxResult, int64(config.MaxResultFiles)}, []int64{work.MaxConsole, work.MaxResult, int64(work.MaxResultFiles)})
	require.True(k.t, strings.HasSuffix(work.URL, fmt.Sprintf("/jobs/%s/runs/%d", k.job, c.Run)), work.URL)
	require.Empty(k.t, work.Token, "the job file does not ask for it")
	seen := k.run(c.Run)
	require.Equal(k.t, []any{ci.PhasePreparing, k.agent}, []any{seen.Phase, seen.Agent})

	other := "agent-" + word()
	_, err = k.Open(k.t, other).Claim(k.t.Context(), ci.Claim{Run: c.Run, Agent: other, ID: k.newClaim(0).ID})
	k.lost(err, "a second agent")
	_, err = k.Claim(k.t.Context(), k.newClaim(c.Run))
	k.lost(err, "a second claim of the same agent")
	_, err = k.Claim(k.t.Context(), k.newClaim(1<<31))
	require.Contains(k.t, []ci.Code{ci.CodeNotFound, ci.CodeConflict}, ci.CodeOf(err), "a run that is not there: %v", err)
	require.Equal(k.t, k.agent, k.run(c.Run).Agent)
}

// claimRepeated is what an agent does whose answer got lost.
func claimRepeated(k *kit) {
	k.put(`{"script":"true","ci":true}`)
	c, first := k.claimed()
	again, err := k.Claim(k.t.Context(), c)
	require.NoError(k.t, err)
	require.NotEmpty(k.t, first.Token)
	require.NotEqual(k.t, first.Token, again.Token, "only the answer that arrives has a token that opens something")
	first.Token, again.Token = "", ""
	first.Registries, again.Registries = nil, nil // other tests add accounts meanwhile
	require.Equal(k.t, first, again)
	require.NoError(k.t, k.Started(k.t.Context(), c))
	_, err = k.Claim(k.t.Context(), c)
	k.lost(err, "the script has begun")

	second := k.newClaim(k.trigger().ID)
	second.ID = c.ID
	_, err = k.Claim(k.t.Context(), second)
	k.lost(err, "the id holds another run")
	require.Equal(k.t, ci.PhaseQueued, k.run(second.Run).Phase)
}

func confidential(k *kit) {
	secret, password := "secret-"+word(), "password-"+word()
	host := word() + ".example.com"
	_, err := k.Admin.PutSecret(k.t.Context(), k.job, "TOKEN", secret)
	require.NoError(k.t, err)
	_, err = k.Admin.PutRegistry(k.t.Context(), ci.RegistryAccess{Host: host, Username: "u", Password: password})
	require.NoError(k.t, err)
	k.put(`{"script":"true","env":["TOKEN"]}`)
	_, work := k.claimed()
	require.Equal(k.t, map[string]string{"TOKEN": secret}, work.Secrets)
	require.Contains(k.t, work.Registries, ci.RegistryAccess{Host: host, Username: "u", Password: password})
	other, err := k.Open(k.t, "agent-"+word()).Claim(k.t.Context(), k.newClaim(work.Run.ID))
	k.lost(err, "another agent")
	require.Nil(k.t, other)
	require.NotContains(k.t, err.Error(), secret)
}

func missingSecret(k *kit) {
	k.put(`{"script":"true","env":["NOWHERE"]}`)
	c := k.newClaim(k.trigger().ID)
	_, err := k.Claim(k.t.Context(), c)
	k.lost(err, "it can't have what it needs")
	run := k.run(c.Run)
	require.Equal(k.t, ci.OutcomeError, run.Outcome)
	require.Contains(k.t, run.Reason, "NOWHERE")
}

func renewals(k *kit) {
	ctx := k.t.Context()
	none, err := k.Renew(ctx, k.agent, nil)
	require.NoError(k.t, err)
	require.Empty(k.t, none)
	held, _ := k.claimed()
	wanted, _ := k.claimed()
	over := k.started()
	require.NoError(k.t, k.Finish(ctx, over, end(ci.OutcomeAborted, "")))
	wrong := k.newClaim(held.Run)
	_, err = k.Admin.Abort(ctx, k.job, wanted.Run)
	require.NoError(k.t, err)
	verdicts, err := k.Renew(ctx, k.agent, []ci.Claim{over, held, wrong, wanted, k.newClaim(1 << 31)})
	require.NoError(k.t, err)
	require.Equal(k.t, []ci.Verdict{
		{Run: over.Run, Gone: true}, {Run: held.Run}, {Run: held.Run, Gone: true}, {Run: wanted.Run, Abort: true}, {Run: 1 << 31, Gone: true},
	}, verdicts)
}

// frozen is an agent that was silent for longer than its lease: what it says
// then changes nothing.
func frozen(k *kit) {
	c := k.started()
	k.append(c, 0, "early\n")
	k.eventually(func() error {
		if r := k.run(c.Run); !r.Done() {
			return fmt.Errorf("run %d is %s still", r.ID, r.Phase)
		}
		return nil
	})
	was := k.run(c.Run)
	require.Equal(k.t, ci.OutcomeLost, was.Outcome)
	k.refused(k.Side, c)
	require.Equal(k.t, was, k.run(c.Run))
	require.Equal(k.t, "early\n", k.printed(c.Run))
	list, err := k.Admin.Results(k.t.Context(), k.job, c.Run)
	require.NoError(k.t, err)
	require.Len(k.t, list, 1, "the console alone")
}

// foreign is an agent that speaks about a run of another one, by all the
// claims that it could make up, the right one among them.
func foreign(k *kit) {
	c := k.started()
	k.append(c, 0, "mine\n")
	was := k.run(c.Run)
	thief := "agent-" + word()
	side := k.Open(k.t, thief)
	for _, id := range []string{c.ID, k.newClaim(0).ID} {
		k.refused(side, ci.Claim{Run: c.Run, Agent: thief, ID: id})
	}
	require.NoError(k.t, side.Disown(k.t.Context(), thief))
	require.Equal(k.t, was, k.run(c.Run))
	require.Equal(k.t, "mine\n", k.printed(c.Run))
	require.NoError(k.t, k.Finish(k.t.Context(), c, end(ci.OutcomeAborted, "mine\n")))
}

func disown(k *kit) {
	begun := k.started()
	waiting, _ := k.claimed()
	done := k.started()
	require.NoError(k.t, k.Finish(k.t.Context(), done, end(ci.OutcomeAborted, "")))
	was := k.run(done.Run)
	require.NoError(k.t, k.Disown(k.t.Context(), k.agent))
	for _, c := range []ci.Claim{waiting, begun} {
		require.Equal(k.t, ci.OutcomeLost, k.run(c.Run).Outcome)
		k.refused(k.Side, c)
	}
	require.Equal(k.t, was, k.run(done.Run))
	require.NoError(k.t, k.Disown(k.t.Context(), k.agent), "nothing is left to disown")
}
