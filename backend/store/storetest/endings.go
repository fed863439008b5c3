package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func finish(t *testing.T, k *kit) {
	end := ci.End{Outcome: ci.OutcomeTimedOut, Reason: "too slow", Console: ci.Console{Bytes: 5, SHA256: "ab", Truncated: true}}
	code, other := 7, 8
	r := k.insert(ci.PhaseCollecting, func(r *ci.Run) { r.ScriptStarted, r.ExitCode = true, &code })
	finishFrom := func(id int64, from []ci.Phase, end ci.End) (run *ci.Run, err error) {
		err = k.write(func(tx *store.Tx) (err error) { run, err = tx.FinishRun(k.ctx, id, nil, from, end, at(50)); return err })
		return run, err
	}
	_, err := finishFrom(r.ID, []ci.Phase{ci.PhaseRunning}, end)
	requireCode(t, ci.CodeConflict, err, "collecting")
	_, err = finishFrom(r.ID, []ci.Phase{ci.PhasePlanning}, end)
	requireCode(t, ci.CodeConflict, err, "timed_out") // not a move of the table at all
	_, err = finishFrom(r.ID, nil, ci.End{Outcome: "nonsense"})
	requireCode(t, ci.CodeConflict, err)

	got, err := finishFrom(r.ID, []ci.Phase{ci.PhasePlanning, ci.PhaseCollecting}, end)
	require.NoError(t, err)
	want := *r
	want.ScriptStarted = false
	want.Status, want.Outcome, want.Reason, want.Console, want.Times.Done = ci.StatusDone, end.Outcome, end.Reason, end.Console, at(50)
	require.Equal(t, &want, got, "an exit code that was known before stays; whether the script began is for the end to say")

	r = k.insert(ci.PhaseRunning, func(r *ci.Run) { r.ExitCode = &code })
	got, err = finishFrom(r.ID, nil, ci.End{Outcome: ci.OutcomeFailed, ExitCode: &other, ScriptStarted: true})
	require.NoError(t, err)
	require.Equal(t, &other, got.ExitCode)
	require.True(t, got.ScriptStarted)
}

func abort(t *testing.T, k *kit) {
	request := func(job string, id int64, n int) (run *ci.Run, err error) {
		err = k.write(func(tx *store.Tx) (err error) { run, err = tx.RequestAbort(k.ctx, job, id, at(n)); return err })
		return run, err
	}
	r := k.insert(ci.PhaseQueued)
	_, err := request("other", r.ID, 1)
	requireCode(t, ci.CodeNotFound, err)
	_, err = request("", r.ID+9, 1)
	requireCode(t, ci.CodeNotFound, err)
	got, err := request("build", r.ID, 2)
	require.NoError(t, err)
	require.Equal(t, at(2), got.AbortRequestedAt)
	got, err = request("", r.ID, 3)
	require.NoError(t, err)
	require.Equal(t, at(2), got.AbortRequestedAt, "the first request counts")

	err = k.write(func(tx *store.Tx) error {
		_, err := tx.ClaimRun(k.ctx, claimOf(r), at(60), at(600), at(4))
		return err
	})
	requireCode(t, ci.CodeConflict, err, "end was asked for")

	over := k.insert(ci.PhaseRunning, done(ci.OutcomeFailed))
	_, err = request("build", over.ID, 5)
	requireCode(t, ci.CodeConflict, err, "done (failed)")
	require.Equal(t, over, k.get(over.ID))
}
