package journal

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"ci/backend/store/storetest/postgres"
	"ci/pkg/ci"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, url string) *Journal {
	t.Helper()
	j, err := Open(t.Context(), url, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	return j
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	suite(t, func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "pipelines.db") })
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t)
	suite(t, func(t *testing.T) string { return server.Database(t) })
	t.Run("clock", func(t *testing.T) { t.Parallel(); clock(t, server) })
}

// clock wants the server's: here one that is five minutes ahead of this machine's.
func clock(t *testing.T, server *postgres.Server) {
	url := server.Database(t)
	ahead, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer ahead.Close(t.Context()) //nolint:errcheck // the test is over
	for _, text := range []string{
		"CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() + interval '5 minutes' $$",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$",
	} {
		_, err := ahead.Exec(t.Context(), text)
		require.NoError(t, err)
	}
	j := open(t, url)
	require.WithinDuration(t, time.Now().Add(5*time.Minute), j.Now(), time.Minute)
	first := j.Now()
	require.NoError(t, j.readClock(t.Context()))
	require.False(t, j.Now().Before(first.Add(-time.Second)))
}

// suite is the same on both engines.
func suite(t *testing.T, url func(t *testing.T) string) {
	for name, test := range map[string]func(t *testing.T, j *Journal){
		"definitions": definitions, "runs": runs, "begin once": beginOnce, "work": work, "wakes": wakes, "answers": answers, "one worker": oneWorker, "every field": everyField, "prune": prune,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t, url(t)))
		})
	}
	t.Run("opened by many at once", func(t *testing.T) {
		t.Parallel()
		where := url(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				j, err := Open(t.Context(), where, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Error(err)
					return
				}
				_ = j.Close()
			})
		}
		all.Wait()
	})
}

func definitions(t *testing.T, j *Journal) {
	ctx := t.Context()
	p := ci.Pipeline{Name: "release", Program: "run('a')", UpdatedBy: "me", Parameters: []ci.PipelineParameter{{Name: "x", Type: "int", Default: "1"}}, Source: &ci.PipelineSource{URL: "u", Commit: "c", Path: "p"}}
	created, err := j.PutPipeline(ctx, &p, 0, noon)
	require.NoError(t, err)
	require.True(t, created)
	got, err := j.GetPipeline(ctx, "release")
	require.NoError(t, err)
	require.Equal(t, &p, got)

	same := p
	created, err = j.PutPipeline(ctx, &same, 1, noon.Add(time.Hour))
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, p, same, "nothing changed, so nothing is new")

	next := ci.Pipeline{Name: "release", Program: "run('b')", UpdatedBy: "you"}
	_, err = j.PutPipeline(ctx, &next, 7, noon)
	require.Equal(t, ci.CodeStale, ci.CodeOf(err))
	_, err = j.PutPipeline(ctx, &next, 1, noon)
	require.NoError(t, err)
	require.Equal(t, int64(2), next.Version)
	text, err := j.Program(ctx, "release", 1)
	require.NoError(t, err)
	require.Equal(t, "run('a')", text, "the old text stays")

	require.NoError(t, j.DeletePipeline(ctx, "release"))
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(j.DeletePipeline(ctx, "release")))
	_, err = j.GetPipeline(ctx, "release")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	_, err = j.PutPipeline(ctx, &next, 0, noon)
	require.NoError(t, err)
	require.Equal(t, int64(3), next.Version, "numbers go on, so that no old run meets a new text")
	list, err := j.ListPipelines(ctx, "", 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
}

// begin records a run of a pipeline that it puts first.
func begin(t *testing.T, j *Journal) *ci.PipelineRun {
	t.Helper()
	p := ci.Pipeline{Name: "p", Program: "run('a')", UpdatedBy: "me"}
	_, err := j.PutPipeline(t.Context(), &p, 0, noon)
	require.NoError(t, err)
	r := &ci.PipelineRun{Pipeline: "p", Version: p.Version, Parameters: map[string]string{"a": "b"}, TriggeredBy: "me", Triggered: noon}
	_, err = j.Begin(t.Context(), r, "key", "", nil)
	require.NoError(t, err)
	return r
}

func runs(t *testing.T, j *Journal) {
	ctx := t.Context()
	first, second := begin(t, j), begin(t, j)
	require.Equal(t, first.ID+1, second.ID)
	got, err := j.GetRun(ctx, "p", first.ID)
	require.NoError(t, err)
	first.Calls = []ci.PipelineCall{}
	require.Equal(t, first, got)
	_, err = j.GetRun(ctx, "q", first.ID)
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	list, err := j.ListRuns(ctx, Filter{Pipeline: "p", Status: ci.StatusInProgress, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []int64{second.ID, first.ID}, []int64{list[0].ID, list[1].ID})
	list, err = j.ListRuns(ctx, Filter{Before: second.ID, Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 1)
	list, err = j.ListRuns(ctx, Filter{Outcome: ci.OutcomeFailed, Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list)
}

func beginOnce(t *testing.T, j *Journal) {
	first := begin(t, j)
	var all sync.WaitGroup
	ids := make([]int64, 4)
	for i := range ids {
		all.Go(func() {
			r := ci.PipelineRun{Pipeline: "p", Version: 1, TriggeredBy: "me", Triggered: noon}
			if _, err := j.Begin(t.Context(), &r, "key", "once", nil); err != nil {
				t.Error(err)
			}
			ids[i] = r.ID
		})
	}
	all.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
		require.NotEqual(t, first.ID, id)
	}
}

func work(t *testing.T, j *Journal) {
	ctx := t.Context()
	r := begin(t, j)
	due, err := j.Due(ctx, noon, 10)
	require.NoError(t, err)
	require.Equal(t, []int64{r.ID}, due)
	w, err := j.Claim(ctx, r.ID, "one", noon.Add(time.Minute), noon)
	require.NoError(t, err)
	require.Equal(t, "run('a')", w.Program)
	require.Equal(t, "key", w.Key)
	again, err := j.Claim(ctx, r.ID, "two", noon.Add(time.Minute), noon)
	require.NoError(t, err)
	require.Nil(t, again, "somebody has it")

	call := ci.PipelineCall{ID: "0", Kind: ci.CallRun, Title: "a", Args: json.RawMessage(`{"job":"a"}`), After: []string{}, Line: 1, Began: noon}
	require.NoError(t, j.Save(ctx, w, []ci.PipelineCall{call}, nil, noon.Add(time.Minute)))
	call.Run, call.Value = &ci.RunRef{Job: "a", Run: 7}, json.RawMessage(`{"id":7}`)
	require.NoError(t, j.Save(ctx, w, nil, []ci.PipelineCall{call}, noon.Add(time.Minute)))
	require.NoError(t, j.Release(ctx, w, noon.Add(time.Hour), "waits for a/7"))
	due, err = j.Due(ctx, noon.Add(time.Minute), 10)
	require.NoError(t, err)
	require.Empty(t, due)
	woken, err := j.Wake(ctx, 7)
	require.NoError(t, err)
	require.Equal(t, int64(1), woken)
	woken, err = j.Wake(ctx, 0)
	require.NoError(t, err)
	require.Zero(t, woken)

	w, err = j.Claim(ctx, r.ID, "three", noon.Add(time.Minute), noon)
	require.NoError(t, err)
	require.Equal(t, []ci.PipelineCall{call}, w.Calls)
	require.Equal(t, "waits for a/7", w.Reason)
	// The lease runs out, and another one takes over: the first writes nothing any more.
	other, err := j.Claim(ctx, r.ID, "four", noon.Add(time.Hour), noon.Add(2*time.Minute))
	require.NoError(t, err)
	require.NotNil(t, other)
	require.ErrorIs(t, j.Save(ctx, w, nil, nil, noon), ErrLost)
	require.ErrorIs(t, j.Release(ctx, w, noon, ""), ErrLost)
	w.Ending = &Ending{Outcome: ci.OutcomeFailed}
	require.ErrorIs(t, j.Finish(ctx, w, noon), ErrLost)

	other.Ending = &Ending{Outcome: ci.OutcomeSucceeded, Reason: "fine"}
	require.NoError(t, j.Save(ctx, other, nil, nil, noon.Add(time.Hour)))
	require.NoError(t, j.Finish(ctx, other, noon.Add(time.Hour)))
	got, err := j.GetRun(ctx, "p", r.ID)
	require.NoError(t, err)
	require.Equal(t, ci.OutcomeSucceeded, got.Outcome)
	require.Equal(t, ci.StatusDone, got.Status)
	require.Equal(t, ci.CodeConflict, ci.CodeOf(j.RequestAbort(ctx, "p", r.ID, noon)))
}

// A wake that comes while somebody works is not lost.
func wakes(t *testing.T, j *Journal) {
	ctx := t.Context()
	r := begin(t, j)
	w, err := j.Claim(ctx, r.ID, "one", noon.Add(time.Minute), noon)
	require.NoError(t, err)
	require.NoError(t, j.RequestAbort(ctx, "p", r.ID, noon))
	require.NoError(t, j.Release(ctx, w, noon.Add(time.Hour), ""))
	w, err = j.Claim(ctx, r.ID, "two", noon.Add(time.Minute), noon)
	require.NoError(t, err)
	require.NotNil(t, w)
	require.Equal(t, noon, w.AbortRequestedAt)
	require.NoError(t, j.Release(ctx, w, noon.Add(time.Hour), ""))
	due, err := j.Due(ctx, noon, 10)
	require.NoError(t, err)
	require.Empty(t, due)
}

func answers(t *testing.T, j *Journal) {
	ctx := t.Context()
	r := begin(t, j)
	w, err := j.Claim(ctx, r.ID, "one", noon.Add(time.Minute), noon)
	require.NoError(t, err)
	calls := []ci.PipelineCall{
		{ID: "0", Kind: ci.CallApprove, Title: "?", Args: json.RawMessage(`{}`), After: []string{}, Began: noon},
		{ID: "1", Kind: ci.CallSleep, Title: "1s", Args: json.RawMessage(`{}`), After: []string{}, Began: noon},
	}
	require.NoError(t, j.Save(ctx, w, calls, nil, noon.Add(time.Minute)))
	answer := func(call string) error {
		return j.Answer(ctx, r.ID, call, ci.OutcomeSucceeded, "boss", "go", json.RawMessage(`{"approved":true}`), noon)
	}
	require.NoError(t, answer("0"))
	for _, call := range []string{"0", "1", "2"} {
		require.Equal(t, ci.CodeConflict, ci.CodeOf(answer(call)), call)
	}
	calls[0].Done, calls[0].Outcome = true, ci.OutcomeFailed
	require.ErrorIs(t, j.Save(ctx, w, nil, calls[:1], noon.Add(time.Minute)), ErrAnswered, "the worker has not seen the answer")
	got, err := j.Calls(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, "boss", got[0].By)
	require.Equal(t, ci.OutcomeSucceeded, got[0].Outcome)
}

func oneWorker(t *testing.T, j *Journal) {
	r := begin(t, j)
	var all sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for i := range 8 {
		all.Go(func() {
			w, err := j.Claim(t.Context(), r.ID, string(rune('a'+i)), noon.Add(time.Minute), noon)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if w != nil {
				got++
			}
		})
	}
	all.Wait()
	require.Equal(t, 1, got)
}

// everyField writes a call in which nothing is empty.
func everyField(t *testing.T, j *Journal) {
	r := begin(t, j)
	call := ci.PipelineCall{
		ID: "4.0.1", Kind: ci.CallRun, Title: "a", Args: json.RawMessage(`{"job":"a"}`), After: []string{"1", "2"}, Line: 9, Done: true, Outcome: ci.OutcomeLost, Reason: "why",
		Run: &ci.RunRef{Job: "a", Run: 3}, By: "me", Reused: true, Value: json.RawMessage(`{"id":3}`), Began: noon, Ended: noon.Add(time.Second),
	}
	again := ci.PipelineRun{Pipeline: "p", Version: 1, Parameters: map[string]string{}, TriggeredBy: "me", Triggered: noon, RerunOf: r.ID}
	_, err := j.Begin(t.Context(), &again, "k", "", []ci.PipelineCall{call})
	require.NoError(t, err)
	got, err := j.GetRun(t.Context(), "p", again.ID)
	require.NoError(t, err)
	again.Calls = []ci.PipelineCall{call}
	require.Equal(t, &again, got)
}

func TestOwn(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "pipelines.db")
	j := open(t, url)
	require.NoError(t, j.Own(t.Context()))
	r := begin(t, j)
	_, err := j.Claim(t.Context(), r.ID, "one", noon.Add(time.Hour), noon)
	require.NoError(t, err)
	second, err := Open(t.Context(), url, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, ci.CodeConflict, ci.CodeOf(second.Own(t.Context())))
	require.NoError(t, j.Close())
	require.NoError(t, second.Own(t.Context()))
	due, err := second.Due(t.Context(), noon, 10)
	require.NoError(t, err)
	require.Equal(t, []int64{r.ID}, due, "the leases of a process that is gone are free")
	require.NoError(t, second.Close())
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for url, says := range map[string]string{
		"mysql://x": "use sqlite:", "sqlite:": "needs a file", "sqlite:" + t.TempDir() + "/none/p.db": "is there a folder", "postgres://x:y": "not valid",
	} {
		_, err := Open(t.Context(), url, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, says)
	}
}

// prune forgets what was done before a moment, and no text that a run still has.
func prune(t *testing.T, j *Journal) {
	ctx := t.Context()
	finish := func(r *ci.PipelineRun, at time.Time) {
		w, err := j.Claim(ctx, r.ID, "one", at.Add(time.Minute), at)
		require.NoError(t, err)
		require.NoError(t, j.Save(ctx, w, []ci.PipelineCall{{ID: "1", Kind: ci.CallRun, Args: json.RawMessage("{}"), Done: true, Began: at}}, nil, at.Add(time.Minute)))
		w.Ending = &Ending{Outcome: ci.OutcomeSucceeded}
		require.NoError(t, j.Finish(ctx, w, at))
	}
	put := func(program string) {
		_, err := j.PutPipeline(ctx, &ci.Pipeline{Name: "p", Program: program}, 0, noon)
		require.NoError(t, err)
	}
	old, living, young := begin(t, j), begin(t, j), begin(t, j)
	put("run('b')")
	r := &ci.PipelineRun{Pipeline: "p", Version: 2, TriggeredBy: "me", Triggered: noon}
	_, err := j.Begin(ctx, r, "key2", "", nil)
	require.NoError(t, err)
	put("run('c')")
	finish(old, noon)
	finish(r, noon)
	finish(young, noon.Add(time.Hour))
	for _, want := range []int{1, 1, 0} {
		n, err := j.Prune(ctx, noon.Add(time.Minute), 1)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	left, err := j.ListRuns(ctx, Filter{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []int64{young.ID, living.ID}, []int64{left[0].ID, left[1].ID})
	calls, err := j.Calls(ctx, old.ID)
	require.NoError(t, err)
	require.Empty(t, calls)
	calls, err = j.Calls(ctx, young.ID)
	require.NoError(t, err)
	require.Len(t, calls, 1)
	for version, code := range map[int64]ci.Code{1: "", 2: ci.CodeNotFound, 3: ""} {
		_, err := j.Program(ctx, "p", version)
		require.Equal(t, code, ci.CodeOf(err), "version %d", version)
	}
	_, err = j.Begin(ctx, &ci.PipelineRun{Pipeline: "p", Version: 2, TriggeredBy: "me", Triggered: noon}, "key3", "", nil)
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err), "a run of a version that went could never end")
	runs, err := j.ListRuns(ctx, Filter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, runs, len(left))
}
