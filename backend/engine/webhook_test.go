package engine_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// delivered records a delivery and gives it to "me".
func (w *world) delivered(id string) int64 {
	w.t.Helper()
	hook := ci.Webhook{Forge: "github", ID: id, Event: "push", Body: []byte("{}"), ReceivedAt: w.db.Now(), NextAt: w.db.Now()}
	require.NoError(w.t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.AddWebhook(ctx, &hook); err != nil {
			return err
		}
		_, err := tx.HoldWebhooks(ctx, "me", 10, w.db.Now().Add(1e12), w.db.Now())
		return err
	}))
	return hook.Seq
}

// A delivery's runs, its aborts and that it is done are one transaction.
func TestSettleWebhookOnce(t *testing.T) {
	w := setup(t)
	w.freestyle()
	old := w.trigger(hello)
	seq := w.delivered("one")
	origin := &ci.Origin{Forge: "github", Trigger: "t", Repository: 7, HeadSHA: commit, Event: ci.EventPush}
	s := ci.Settlement{
		Seq: seq, Holder: "me", Note: "Started.",
		Triggers: []ci.Trigger{{Job: "hello", Parameters: hello.Parameters, Origin: origin, CommitSHA: commit, BranchName: "main"}, {Job: "none", Origin: origin}},
		Aborts:   []ci.Abortion{{Run: ci.RunRef{Job: "hello", Run: old.ID}, By: "a newer push"}},
	}
	runs, err := w.SettleWebhook(w.ctx, s)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	made, err := w.db.GetRun(w.ctx, "", runs[0].Run)
	require.NoError(t, err)
	require.Equal(t, origin, made.Origin)
	gone, err := w.db.GetRun(w.ctx, "", old.ID)
	require.NoError(t, err)
	require.Equal(t, ci.OutcomeAborted, gone.Outcome)
	hooks, err := w.db.ListWebhooks(w.ctx, "", 0, 1)
	require.NoError(t, err)
	require.Equal(t, runs, hooks[0].Runs)
	require.Contains(t, hooks[0].Note, `there is no job "none"`)

	_, err = w.SettleWebhook(w.ctx, s)
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	all, err := w.db.ListRuns(w.ctx, ci.RunFilter{}, 10)
	require.NoError(t, err)
	require.Len(t, all, 2, "nothing was acted on twice")
}

// The job file of a fork's commit may ask for anything; its run gets nothing of it.
func TestForksGetNothing(t *testing.T) {
	w := setup(t)
	w.put(ci.Job{Name: "greedy", Freestyle: []byte(`{"script":"env","env":["TOKEN_OF_MINE"],"ssh":false,"ci":true}`)})
	_, err := w.SettleWebhook(w.ctx, ci.Settlement{Seq: w.delivered("fork"), Holder: "me", Triggers: []ci.Trigger{{
		Job: "greedy", Origin: &ci.Origin{Forge: "github", Trigger: "t", Repository: 7, HeadSHA: commit, Fork: true},
	}}})
	require.NoError(t, err)
	list, err := w.db.ListRuns(w.ctx, ci.RunFilter{Job: "greedy"}, 1)
	require.NoError(t, err)
	require.Len(t, list, 1)
	run, err := w.db.GetRun(w.ctx, "", list[0].ID)
	require.NoError(t, err)
	require.Empty(t, run.Spec.Env)
	require.False(t, run.Spec.SSH)
	require.False(t, run.Spec.CI)
	require.Contains(t, run.Spec.Notes[0], "TOKEN_OF_MINE")
}
