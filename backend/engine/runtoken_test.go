package engine_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/pkg/ci"
)

// scripted is a job whose script may call the API and trigger jobs.
func (w *world) scripted(triggers ...string) {
	w.put(ci.Job{Name: "parent", Freestyle: []byte(`{"script":"ci run hello","ci":true}`), Triggers: triggers})
}

// opened returns the recorded token that a bearer opens, or nil.
func (w *world) opened(bearer string) *ci.RunToken {
	w.t.Helper()
	run, hash, ok := ci.ParseRunToken(bearer)
	require.True(w.t, ok)
	token, err := w.db.RunToken(w.ctx, run)
	if err != nil || token.Hash != hash {
		return nil
	}
	return token
}

func TestRunTokenLivesWithItsRun(t *testing.T) {
	w := setup(t)
	w.scripted("hello")
	w.freestyle()
	run := w.trigger(ci.Trigger{Job: "parent"})
	claim, work := w.claim(run.ID, "a")
	token := w.opened(work.Token)
	require.NotNil(t, token)
	require.Equal(t, &ci.RunToken{Run: ci.RunRef{Job: "parent", Run: run.ID}, Hash: token.Hash, Triggers: []string{"hello"}, ExpiresAt: work.Run.Deadline}, token)

	again, err := w.Claim(w.ctx, claim)
	require.NoError(t, err)
	require.NotNil(t, w.opened(again.Token), "a claim whose answer was lost gets another token")
	require.Nil(t, w.opened(work.Token), "and only the last one opens anything")
	_, err = w.Claim(w.ctx, ci.Claim{Run: run.ID, Agent: "b", ID: "other"})
	require.Equal(t, ci.CodeConflict, code(err))
	require.NotNil(t, w.opened(again.Token), "a claim that lost changes nothing")

	require.NoError(t, w.Finish(w.ctx, claim, ci.End{Outcome: ci.OutcomeError, Reason: "over", Console: ci.Console{SHA256: sum("")}}))
	require.Nil(t, w.opened(again.Token), "it ends with its run")
	for _, secret := range []string{work.Token, again.Token, strings.Split(again.Token, ".")[2]} {
		require.NotContains(t, w.dump(), secret)
	}

	plain := w.trigger(hello)
	_, work = w.claim(plain.ID, "a")
	require.Empty(t, work.Token, "without ci: true there is none")
}

// dump is everything that the database says of runs and tokens, in a row that any engine can give.
func (w *world) dump() string {
	w.t.Helper()
	var all strings.Builder
	for id := range int64(10) {
		if r, err := w.db.GetRun(w.ctx, "", id); err == nil {
			all.WriteString(r.Reason + r.Claim + r.TriggeredBy)
			if token, err := w.db.RunToken(w.ctx, id); err == nil {
				all.WriteString(token.Hash)
			}
		}
	}
	tokens, err := w.db.ListTokens(w.ctx, "", 100)
	require.NoError(w.t, err)
	require.Empty(w.t, tokens, "a run's token is not among people's")
	return all.String()
}

func TestChildrenKnowTheirParent(t *testing.T) {
	w := setup(t)
	w.scripted("hello")
	w.freestyle()
	parent := w.trigger(ci.Trigger{Job: "parent"})
	ref := &ci.RunRef{Job: "parent", Run: parent.ID}
	child := hello
	child.Parent, child.IdempotencyKey = ref, "key"
	made := w.trigger(child)
	stored, err := w.db.GetRun(w.ctx, "hello", made.ID)
	require.NoError(t, err)
	require.Equal(t, ref, stored.Parent)
	children, err := w.db.ListRuns(w.ctx, ci.RunFilter{Parent: parent.ID}, 10)
	require.NoError(t, err)
	require.Len(t, children, 1)

	again, replayed, err := w.Trigger(w.ctx, child)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, made.ID, again.ID)
	child.Parent = nil
	_, _, err = w.Trigger(w.ctx, child)
	require.Equal(t, ci.CodeMismatch, code(err), "a key does not hand one's run to another")
}

// TestDepth triggers ever deeper, as a job does that triggers itself.
func TestDepth(t *testing.T) {
	w := setup(t)
	w.scripted("parent")
	run := w.trigger(ci.Trigger{Job: "parent"})
	for range engine.MaxDepth {
		run = w.trigger(ci.Trigger{Job: "parent", Parent: &ci.RunRef{Job: "parent", Run: run.ID}})
	}
	_, _, err := w.Trigger(w.ctx, ci.Trigger{Job: "parent", Parent: &ci.RunRef{Job: "parent", Run: run.ID}})
	require.Equal(t, ci.CodeConflict, code(err))
	require.ErrorContains(t, err, "does a job trigger itself?")
	_, err = w.TriggerBatch(w.ctx, []ci.Trigger{{Job: "parent"}, {Job: "parent", Parent: &ci.RunRef{Job: "parent", Run: run.ID}}})
	require.Equal(t, ci.CodeConflict, code(err), "not in a batch either")

	_, err = w.Abort(w.ctx, "parent", run.ID, "t")
	require.NoError(t, err)
	_, _, err = w.Trigger(w.ctx, ci.Trigger{Job: "parent", Parent: &ci.RunRef{Job: "parent", Run: run.ID}})
	require.ErrorContains(t, err, "is done (aborted)")
}
