package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/backend/store"
	"ci/pkg/ci"
)

func TestAnAgentThatLostItsRunChangesNothing(t *testing.T) {
	w := setup(t, func(c *engine.Config) { c.Lease = time.Millisecond })
	w.freestyle()
	run := w.trigger(hello)
	c, _ := w.claim(run.ID, "a")
	_, err := w.AppendConsole(w.ctx, c, 0, []byte("early"))
	require.NoError(t, err)
	w.loops()
	lost := w.wait(run.ID, ci.UntilDone)
	require.Equal(t, ci.OutcomeLost, lost.Outcome)
	require.Contains(t, lost.Reason, "safe to run it again")
	require.Equal(t, ci.Console{Bytes: 5, SHA256: sum("early")}, lost.Console, "sealed with what had arrived")

	_, err = w.AppendConsole(w.ctx, c, 5, []byte("late"))
	require.Equal(t, ci.CodeConflict, code(err))
	_, err = w.PutResult(w.ctx, c, ci.Result{Name: "x"}, strings.NewReader("late"))
	require.Equal(t, ci.CodeConflict, code(err))
	require.Equal(t, ci.CodeConflict, code(w.Started(w.ctx, c)))
	require.Equal(t, ci.CodeConflict, code(w.Finish(w.ctx, c, ci.End{Outcome: ci.OutcomeSucceeded, Console: ci.Console{Bytes: 5, SHA256: sum("early")}})))
	verdicts, err := w.Renew(w.ctx, "a", []ci.Claim{c})
	require.NoError(t, err)
	require.True(t, verdicts[0].Gone)
	require.Equal(t, lost, w.wait(run.ID, ci.UntilDone))
}

func TestAnotherAgentsClaimIsRefused(t *testing.T) {
	w := setup(t)
	w.freestyle()
	run := w.trigger(hello)
	c, _ := w.claim(run.ID, "a")
	for _, forged := range []ci.Claim{{Run: run.ID, Agent: "b", ID: c.ID}, {Run: run.ID, Agent: "a", ID: "guess"}, {Run: run.ID}} {
		_, err := w.AppendConsole(w.ctx, forged, 0, []byte("x"))
		require.Equal(t, ci.CodeConflict, code(err))
		require.Equal(t, ci.CodeConflict, code(w.Started(w.ctx, forged)))
		require.Equal(t, ci.CodeConflict, code(w.Finish(w.ctx, forged, ci.End{Outcome: ci.OutcomeSucceeded, Console: ci.Console{SHA256: sum("")}})))
	}
}

func TestDisown(t *testing.T) {
	w := setup(t)
	w.freestyle()
	mine, others, waiting := w.trigger(hello), w.trigger(hello), w.trigger(hello)
	c, _ := w.claim(mine.ID, "a")
	require.NoError(t, w.Started(w.ctx, c))
	w.claim(others.ID, "b")
	require.NoError(t, w.Disown(w.ctx, "a"))
	lost := w.wait(mine.ID, ci.UntilDone)
	require.Equal(t, ci.OutcomeLost, lost.Outcome)
	require.Contains(t, lost.Reason, "not started again by itself")
	for _, id := range []int64{others.ID, waiting.ID} {
		r, err := w.db.GetRun(w.ctx, "", id)
		require.NoError(t, err)
		require.False(t, r.Done())
	}
}

func TestOverdue(t *testing.T) {
	w := setup(t)
	w.freestyle()
	run := w.trigger(hello)
	c := ci.Claim{Run: run.ID, Agent: "a", ID: "1"}
	require.NoError(t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error {
		now := w.db.Now()
		_, err := tx.ClaimRun(ctx, c, now.Add(time.Hour), now.Add(-time.Second), now)
		return err
	}))
	w.loops()
	require.Equal(t, ci.OutcomeTimedOut, w.wait(run.ID, ci.UntilDone).Outcome)
}

func TestARenewedLeaseIsNotReaped(t *testing.T) {
	w := setup(t, func(c *engine.Config) { c.Lease = 150 * time.Millisecond })
	w.freestyle()
	run := w.trigger(hello)
	c, _ := w.claim(run.ID, "a")
	w.loops()
	end := time.Now().Add(time.Second)
	for time.Now().Before(end) {
		verdicts, err := w.Renew(w.ctx, "a", []ci.Claim{c})
		require.NoError(t, err)
		if verdicts[0].Gone { // a machine under load can be late; then the run is lost rightly
			require.Equal(t, ci.OutcomeLost, w.wait(run.ID, ci.UntilDone).Outcome)
			return
		}
	}
	require.NoError(t, w.Finish(w.ctx, c, ci.End{Outcome: ci.OutcomeAborted, Console: ci.Console{SHA256: sum("")}}))
}
