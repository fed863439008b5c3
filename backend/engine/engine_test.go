package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/backend/store"
	"ci/pkg/ci"
)

func sum(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }

func TestWholeWay(t *testing.T) {
	w := setup(t)
	w.loops()
	w.git()
	run := w.trigger(ci.Trigger{Job: "unit", BranchName: "main"})
	require.Equal(t, ci.PhasePlanning, run.Phase)

	planned := w.wait(run.ID, ci.UntilPlanned)
	require.Equal(t, commit, planned.CommitSHA)
	require.Equal(t, "small", planned.Class)
	require.Equal(t, "make test\n", planned.Spec.Script+"\n")

	d, err := w.queue.Pull(w.ctx, []ci.Lane{{Class: "small", Priority: ci.PriorityNormal}})
	require.NoError(t, err)
	require.Equal(t, run.ID, d.Run)
	c, work := w.claim(d.Run, "a1")
	require.NoError(t, d.Ack(w.ctx))
	require.Equal(t, time.Hour, work.Timeout, "no timeout of its own: the global one")
	require.Equal(t, 10*time.Second, work.AbortGrace, "no grace of its own: the server's")
	require.Equal(t, fmt.Sprintf("http://ci.test/jobs/unit/runs/%d", run.ID), work.URL)

	require.NoError(t, w.Started(w.ctx, c))
	next, err := w.AppendConsole(w.ctx, c, 0, []byte("hello\n"))
	require.NoError(t, err)
	require.EqualValues(t, 6, next)
	zero := 0
	require.NoError(t, w.Collecting(w.ctx, c, &zero))
	res, err := w.PutResult(w.ctx, c, ci.Result{Name: "junit", ContentType: "application/zip", Files: 2}, strings.NewReader("zip"))
	require.NoError(t, err)
	require.Equal(t, sum("zip"), res.SHA256)

	end := ci.End{Outcome: ci.OutcomeSucceeded, Reason: "fine", ExitCode: &zero, ScriptStarted: true, Console: ci.Console{Bytes: 6, SHA256: sum("hello\n")}}
	require.NoError(t, w.Finish(w.ctx, c, end))
	require.NoError(t, w.Finish(w.ctx, c, end), "a repeated finish, its answer lost, is fine")

	done := w.wait(run.ID, ci.UntilDone)
	require.Equal(t, ci.OutcomeSucceeded, done.Outcome)
	require.Equal(t, ci.StatusDone, done.Status)
	require.Equal(t, sum("hello\n"), done.Console.SHA256)
	for name, at := range map[string]time.Time{"queued": done.Times.Queued, "claimed": done.Times.Claimed, "started": done.Times.Started, "collecting": done.Times.Collecting, "done": done.Times.Done} {
		require.False(t, at.IsZero(), name)
	}
	body, err := w.Console().Reader(w.ctx, run.ID, 0, -1)
	require.NoError(t, err)
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(text))

	events, err := w.db.Events(w.ctx, 0, 100, "", nil)
	require.NoError(t, err)
	var types []string
	for _, e := range events {
		types = append(types, string(e.Type))
	}
	require.Equal(t, "run.triggered run.queued run.preparing run.running run.collecting run.done", strings.Join(types, " "))
}

func TestTriggerRefuses(t *testing.T) {
	w := setup(t)
	w.freestyle()
	w.git()
	for name, c := range map[string]struct {
		trigger ci.Trigger
		code    ci.Code
		says    string
	}{
		"no such job":          {ci.Trigger{Job: "nope"}, ci.CodeNotFound, "nope"},
		"commit of freestyle":  {ci.Trigger{Job: "hello", CommitSHA: commit, Parameters: hello.Parameters}, ci.CodeInvalid, "freestyle"},
		"git without commit":   {ci.Trigger{Job: "unit"}, ci.CodeInvalid, "branchName"},
		"both":                 {ci.Trigger{Job: "unit", CommitSHA: commit, BranchName: "main"}, ci.CodeInvalid, "not both"},
		"short commit":         {ci.Trigger{Job: "unit", CommitSHA: "abc"}, ci.CodeInvalid, "full commit"},
		"option as a branch":   {ci.Trigger{Job: "unit", BranchName: "--upload-pack=x"}, ci.CodeInvalid, "branch"},
		"missing parameter":    {ci.Trigger{Job: "hello"}, ci.CodeInvalid, "MUST"},
		"unknown parameter":    {ci.Trigger{Job: "hello", Parameters: map[string]string{"MUST": "x", "LEVLE": "2"}}, ci.CodeInvalid, "LEVLE"},
		"priority":             {ci.Trigger{Job: "hello", Parameters: hello.Parameters, Priority: "soon"}, ci.CodeInvalid, "urgent"},
		"parameter with a NUL": {ci.Trigger{Job: "hello", Parameters: map[string]string{"MUST": "\x00"}}, ci.CodeInvalid, "NUL"},
	} {
		_, _, err := w.Trigger(w.ctx, c.trigger)
		require.Equal(t, c.code, code(err), name)
		require.ErrorContains(t, err, c.says, name)
	}
}

func TestIdempotencyKey(t *testing.T) {
	w := setup(t)
	w.freestyle()
	keyed := hello
	keyed.IdempotencyKey = "k1"
	ids := make([]int64, 20)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			r, _, err := w.Trigger(w.ctx, keyed)
			if err == nil {
				ids[i] = r.ID
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id, "20 callers with one key make one run")
	}
	require.NotZero(t, ids[0])
	other := keyed
	other.Parameters = map[string]string{"MUST": "y"}
	_, _, err := w.Trigger(w.ctx, other)
	require.Equal(t, ci.CodeMismatch, code(err))
	_, replayed, err := w.Trigger(w.ctx, keyed)
	require.NoError(t, err)
	require.True(t, replayed)
}

func TestBatchIsAllOrNone(t *testing.T) {
	w := setup(t)
	w.freestyle()
	_, err := w.TriggerBatch(w.ctx, []ci.Trigger{hello, {Job: "hello"}})
	require.Equal(t, ci.CodeInvalid, code(err))
	require.ErrorContains(t, err, "runs[1].parameters.MUST")
	runs, err := w.db.ListRuns(w.ctx, ci.RunFilter{}, 10)
	require.NoError(t, err)
	require.Empty(t, runs)
	made, err := w.TriggerBatch(w.ctx, []ci.Trigger{hello, hello, hello})
	require.NoError(t, err)
	require.Len(t, made, 3)
}

func TestPlanning(t *testing.T) {
	away := ci.Errorf(ci.CodeUnavailable, "git.test does not answer")
	for name, c := range map[string]struct {
		errs   []error
		file   string
		reason string // "" means that it is planned
	}{
		"the host is away for a moment": {errs: []error{away}, file: "script: x"},
		"no such branch":                {errs: []error{ci.Errorf(ci.CodeInvalid, "branch nope does not exist")}, reason: "branch nope does not exist"},
		"an invalid job file":           {file: "scirpt: x", reason: "ci/unit.yaml:1:1"},
		"too large for every class":     {file: "script: x\nresources: {cpus: 512}", reason: "no quota class"},
		"a fault of ours":               {errs: []error{io.ErrUnexpectedEOF}, reason: "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			w := setup(t)
			w.planner.errs, w.planner.file = c.errs, c.file
			w.git()
			w.loops()
			run := w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilPlanned)
			if c.reason == "" {
				require.Equal(t, ci.PhaseQueued, run.Phase)
				return
			}
			require.Equal(t, ci.OutcomeError, run.Outcome)
			require.Contains(t, run.Reason, c.reason)
			require.Equal(t, sum(""), run.Console.SHA256)
		})
	}
}

func TestPlanningGivesUp(t *testing.T) {
	w := setup(t, func(c *engine.Config) { c.PlanFor = time.Millisecond })
	for range 50 {
		w.planner.errs = append(w.planner.errs, ci.Errorf(ci.CodeUnavailable, "git.test does not answer"))
	}
	w.git()
	w.loops()
	run := w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilDone)
	require.Equal(t, ci.OutcomeError, run.Outcome)
	require.Contains(t, run.Reason, "git.test does not answer")
}

func TestOneClaimWins(t *testing.T) {
	w := setup(t)
	w.freestyle()
	run := w.trigger(hello)
	var won int32
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			_, err := w.Claim(w.ctx, ci.Claim{Run: run.ID, Agent: fmt.Sprint("a", i), ID: uuid.NewString()})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if code(err) != ci.CodeConflict {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won)
}

func TestAbortInEveryPhase(t *testing.T) {
	w := setup(t)
	w.freestyle()
	w.git()

	planning := w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}) // no loops: nobody plans
	got, err := w.Abort(w.ctx, "unit", planning.ID, "tester")
	require.NoError(t, err)
	require.Equal(t, ci.OutcomeAborted, got.Outcome)
	require.Contains(t, got.Reason, "by tester while planning")

	queued := w.trigger(hello)
	got, err = w.Abort(w.ctx, "hello", queued.ID, "tester")
	require.NoError(t, err)
	require.Equal(t, ci.OutcomeAborted, got.Outcome)
	_, err = w.Claim(w.ctx, ci.Claim{Run: queued.ID, Agent: "a", ID: "1"})
	require.Equal(t, ci.CodeConflict, code(err), "an aborted run is never claimed")

	held := w.trigger(hello)
	heard := make(chan string, 1)
	cancel, err := w.queue.Bus().Subscribe("abort.a", func(_ string, data []byte) { heard <- string(data) })
	require.NoError(t, err)
	defer cancel()
	c, _ := w.claim(held.ID, "a")
	got, err = w.Abort(w.ctx, "hello", held.ID, "tester")
	require.NoError(t, err)
	require.False(t, got.Done(), "accepted is not done")
	require.False(t, got.AbortRequestedAt.IsZero())
	require.Equal(t, fmt.Sprint(held.ID), <-heard, "the agent hears of it at once")
	verdicts, err := w.Renew(w.ctx, "a", []ci.Claim{c})
	require.NoError(t, err)
	require.Equal(t, []ci.Verdict{{Run: held.ID, Abort: true}}, verdicts, "and with its next renewal")
	_, err = w.Abort(w.ctx, "hello", held.ID, "tester")
	require.NoError(t, err, "asking again is fine")
	require.NoError(t, w.Finish(w.ctx, c, ci.End{Outcome: ci.OutcomeAborted, Console: ci.Console{SHA256: sum("")}}))
	_, err = w.Abort(w.ctx, "hello", held.ID, "tester")
	require.Equal(t, ci.CodeConflict, code(err), "a done run can't be aborted")
	_, err = w.Abort(w.ctx, "other", held.ID, "tester")
	require.Equal(t, ci.CodeNotFound, code(err))
}

func TestExplain(t *testing.T) {
	w := setup(t)
	w.freestyle()
	run, second := w.trigger(hello), w.trigger(hello)
	ask := func(id int64) *ci.QueueReport {
		r, err := w.Explain(w.ctx, "hello", id)
		require.NoError(t, err)
		return r
	}
	require.Contains(t, ask(run.ID).Reason, "No agent has ever registered")
	require.True(t, ask(run.ID).Unschedulable)
	require.Equal(t, 1, ask(second.ID).Position)

	beat := func(a ci.Agent) {
		_, err := w.Heartbeat(w.ctx, a)
		require.NoError(t, err)
	}
	beat(ci.Agent{ID: "tiny", CPUs: 0.5, Memory: 1 << 30})
	require.True(t, ask(run.ID).Unschedulable)
	require.Contains(t, ask(run.ID).Agents[0].Reason, "too small")
	beat(ci.Agent{ID: "broken", CPUs: 8, Memory: 16 << 30, Problem: "Docker does not answer"})
	r := ask(run.ID)
	require.False(t, r.Unschedulable)
	require.Contains(t, r.Reason, "Docker does not answer")
	beat(ci.Agent{ID: "free", CPUs: 8, Memory: 16 << 30, FreeCPUs: 8, FreeMemory: 16 << 30})
	require.Contains(t, ask(run.ID).Reason, "1 of 3 agents would take it")
	w.claim(run.ID, "free")
	require.Contains(t, ask(run.ID).Reason, "Agent free has the run")
}

func TestRetentionForgetsEverything(t *testing.T) {
	w := setup(t)
	w.freestyle()
	run := w.trigger(hello)
	c, _ := w.claim(run.ID, "a")
	_, err := w.PutResult(w.ctx, c, ci.Result{Name: "x"}, strings.NewReader("result"))
	require.NoError(t, err)
	require.NoError(t, w.Finish(w.ctx, c, ci.End{Outcome: ci.OutcomeError, Console: ci.Console{SHA256: sum("")}}))
	config := ci.DefaultConfig()
	config.Retention = 1
	require.NoError(t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error { return tx.PutConfig(ctx, &config, 0) }))
	w.loops()
	require.Eventually(t, func() bool {
		_, err := w.db.GetRun(w.ctx, "", run.ID)
		return code(err) == ci.CodeNotFound
	}, time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		_, err = w.Blobs.Get(w.ctx, engine.ResultKey(run.ID, "x"), 0, -1)
		return code(err) == ci.CodeNotFound
	}, time.Minute, 10*time.Millisecond)
}

func TestAgentsThatAreGoneAreForgotten(t *testing.T) {
	w := setup(t)
	w.freestyle()
	run := w.trigger(hello)
	w.claim(run.ID, "holds")
	now := w.db.Now()
	require.NoError(t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error {
		for id, seen := range map[string]time.Time{"here": now, "gone": now.Add(-25 * time.Hour), "holds": now.Add(-25 * time.Hour), "off for an hour": now.Add(-time.Hour)} {
			if err := tx.PutAgent(ctx, &ci.Agent{ID: id, SeenAt: seen}); err != nil {
				return err
			}
		}
		return tx.PutAgent(ctx, &ci.Agent{ID: "scaled down", SeenAt: now.Add(-time.Hour), Leaving: &ci.Drain{Leaving: true}})
	}))
	w.loops()
	left := func() (ids []string) {
		agents, err := w.db.ListAgents(w.ctx)
		require.NoError(t, err)
		for i := range agents {
			ids = append(ids, agents[i].ID)
		}
		return ids
	}
	require.Eventually(t, func() bool { return len(left()) == 3 }, time.Minute, 10*time.Millisecond)
	require.Equal(t, []string{"here", "holds", "off for an hour"}, left())
}

// What a job file says of a run's times goes to the agent, and into the time
// after which the backend ends the run itself.
func TestTimesOfTheJobFile(t *testing.T) {
	w := setup(t)
	w.planner.file = "script: make test\ntimeout: 5m\nstop_grace_period: 2m\n"
	w.loops()
	w.git()
	run := w.trigger(ci.Trigger{Job: "unit", BranchName: "main"})
	w.wait(run.ID, ci.UntilPlanned)
	_, work := w.claim(run.ID, "a1")
	require.Equal(t, []time.Duration{5 * time.Minute, 2 * time.Minute}, []time.Duration{work.Timeout, work.AbortGrace})
	claimed := w.wait(run.ID, ci.UntilPlanned)
	require.Equal(t, 8*time.Minute, claimed.Deadline.Sub(claimed.Times.Claimed), "with a minute for the agent to be first")
}
