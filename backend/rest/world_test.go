package rest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/auth"
	"ci/pkg/ci"
)

// world is everything behind the API, in memory. It keeps the contracts of the
// store, the engine, the bus, the console and the blobs, and no others.
type world struct {
	mu      sync.Mutex
	jobs    map[string]ci.Job
	runs    []ci.Run
	keys    map[string]int64 // job + Idempotency-Key → run
	results map[int64][]ci.Result
	blobs   map[string][]byte
	console map[int64][]byte
	events  []ci.Event
	agents  map[string]ci.Agent
	drains  map[string]ci.Drain
	tokens  map[string]ci.Token
	// runTokens are those of runs' scripts.
	runTokens     map[int64]ci.RunToken
	config        ci.Config
	secrets       map[string]ci.Secret // job + name
	hosts         map[string]ci.Registry
	sshKeys       map[string]ci.SSHKey
	forges        map[string]ci.ForgeAccess
	eventTriggers map[string]ci.EventTrigger
	webhooks      []ci.Webhook
	pins          map[int64][]ci.Pin
	subs          map[int]sub
	nextSub       int
	deaf          bool  // the bus is away
	fail          error // what the store answers with, when set
	// goes has the console of a run go, when somebody reads it, between the look
	// at the run and the first byte.
	goes bool
}

type sub struct {
	topic string
	fn    func(string, []byte)
}

func newWorld() *world {
	return &world{
		jobs: map[string]ci.Job{}, keys: map[string]int64{}, results: map[int64][]ci.Result{}, blobs: map[string][]byte{},
		console: map[int64][]byte{}, agents: map[string]ci.Agent{}, drains: map[string]ci.Drain{}, tokens: map[string]ci.Token{}, runTokens: map[int64]ci.RunToken{},
		secrets: map[string]ci.Secret{}, hosts: map[string]ci.Registry{}, sshKeys: map[string]ci.SSHKey{}, forges: map[string]ci.ForgeAccess{}, eventTriggers: map[string]ci.EventTrigger{}, config: ci.DefaultConfig(), subs: map[int]sub{}, pins: map[int64][]ci.Pin{},
	}
}

// site is a server over a world, and a token for each role.
type site struct {
	*world
	t       testing.TB
	server  *httptest.Server
	auth    *auth.Authority
	bearer  map[ci.Role]string
	log     *bytes.Buffer
	logLock *lockedWriter
}

func newSite(t testing.TB, change ...func(*Config)) *site {
	t.Helper()
	w := newWorld()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	a, err := auth.New(w, key, w.Now)
	require.NoError(t, err)
	s := &site{world: w, t: t, auth: a, bearer: map[ci.Role]string{}, log: new(bytes.Buffer)}
	s.logLock = &lockedWriter{w: s.log}
	c := Config{
		Engine: w, Work: idleWork{w}, Store: w, Bus: w, Auth: a, Secrets: fakeSecrets{w}, Registries: fakeRegistries{w}, SSHKeys: fakeSSHKeys{w}, Forges: fakeForges{w}, EventTriggers: fakeEventTriggers{w}, ScanHost: w.scanHost, Console: w, Blobs: w,
		ResultKey: func(run int64, name string) string { return fmt.Sprintf("runs/%d/results/%s", run, name) },
		CheckSpec: checkSpec, CheckURL: checkURL, Schema: []byte(`{"type":"object"}`),
		Log: slog.New(slog.NewTextHandler(s.logLock, nil)), Stall: 2 * time.Second,
	}
	for _, f := range change {
		f(&c)
	}
	h, err := New(c)
	require.NoError(t, err)
	s.server = httptest.NewServer(h)
	t.Cleanup(s.server.Close)
	for _, role := range ci.Roles {
		s.bearer[role] = s.mint(ci.Token{Name: string(role), Role: role})
	}
	return s
}

func (s *site) mint(t ci.Token) string {
	s.t.Helper()
	bearer, _, err := s.auth.Mint(context.Background(), t)
	require.NoError(s.t, err)
	return bearer
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func checkSpec(doc []byte) (*ci.Spec, error) {
	if !bytes.Contains(doc, []byte(`"script"`)) {
		return nil, &ci.Error{Code: ci.CodeInvalid, Message: "the job file is not valid", Fields: []ci.Field{{Path: "freestyle.script", Message: "is missing"}}}
	}
	return &ci.Spec{Script: "true", Resources: ci.Resources{CPUs: 1, Memory: 1 << 20}}, nil
}

func checkURL(_ context.Context, url string) error {
	if strings.HasPrefix(url, "http://") {
		return &ci.Error{Code: ci.CodeInvalid, Message: "the job is not valid", Fields: []ci.Field{{Path: "git.url", Message: "http:// is not allowed"}}}
	}
	return nil
}

// The clock.

func (w *world) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Jobs.

func (w *world) GetJob(_ context.Context, name string) (*ci.Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j, ok := w.jobs[name]
	if !ok || w.fail != nil {
		return nil, w.or(ci.Errorf(ci.CodeNotFound, "there is no job %s", name))
	}
	return &j, nil
}

func (w *world) or(err error) error {
	if w.fail != nil {
		return w.fail
	}
	return err
}

func (w *world) ListJobs(_ context.Context, after string, limit int, only []string) ([]ci.Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []ci.Job
	for _, name := range slices.Sorted(maps.Keys(w.jobs)) {
		if name > after && (only == nil || slices.Contains(only, name)) && len(out) < limit {
			out = append(out, w.jobs[name])
		}
	}
	return out, nil
}

func (w *world) PutJob(_ context.Context, j *ci.Job, ifVersion int64) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, ok := w.jobs[j.Name]
	if ifVersion > 0 && old.Version != ifVersion || ifVersion < 0 && ok {
		return false, ci.Errorf(ci.CodeStale, "job %s is at version %d", j.Name, old.Version)
	}
	j.Version, j.CreatedAt, j.UpdatedAt = old.Version+1, w.Now(), w.Now()
	if ok {
		j.CreatedAt = old.CreatedAt
	}
	w.jobs[j.Name] = *j
	return !ok, nil
}

func (w *world) DeleteJob(_ context.Context, name string, ifVersion int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.jobs[name]; !ok {
		return ci.Errorf(ci.CodeNotFound, "there is no job %s", name)
	} else if ifVersion > 0 && old.Version != ifVersion {
		return ci.Errorf(ci.CodeStale, "job %s is at version %d", name, old.Version)
	}
	delete(w.jobs, name)
	return nil
}

// Runs.

func (w *world) Trigger(ctx context.Context, t ci.Trigger) (*ci.Run, bool, error) {
	if err := t.Validate(); err != nil {
		return nil, false, err
	}
	job, err := w.GetJob(ctx, t.Job)
	if err != nil {
		return nil, false, err
	}
	values, err := job.Values(t.Parameters)
	if err != nil {
		return nil, false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if id, ok := w.keys[t.Job+"\x00"+t.IdempotencyKey]; ok && t.IdempotencyKey != "" {
		if id == 0 {
			return nil, false, ci.Errorf(ci.CodeConflict, "Idempotency-Key %q was withdrawn", t.IdempotencyKey)
		}
		r := w.runs[id-1]
		if r.CommitSHA != t.CommitSHA || r.BranchName != t.BranchName {
			return nil, false, ci.Errorf(ci.CodeMismatch, "Idempotency-Key %q was used for another request", t.IdempotencyKey)
		}
		return &r, true, nil
	}
	r := ci.Run{
		ID: int64(len(w.runs) + 1), Job: t.Job, JobVersion: job.Version, Status: ci.StatusInProgress, Phase: ci.PhaseQueued,
		CommitSHA: t.CommitSHA, BranchName: t.BranchName, Parameters: values, Priority: ci.PriorityNormal, TriggeredBy: t.By, Parent: t.Parent,
		Git: job.Git, Class: "small", Times: ci.Times{Triggered: w.Now(), Queued: w.Now()},
	}
	w.runs = append(w.runs, r)
	w.keys[t.Job+"\x00"+t.IdempotencyKey] = r.ID
	w.addEvent(ci.EventRunTriggered, &r)
	return &r, false, nil
}

// addEvent needs the lock.
func (w *world) addEvent(t ci.EventType, r *ci.Run) {
	w.events = append(w.events, ci.Event{
		Seq: int64(len(w.events) + 1), Type: t, Run: r.ID, Job: r.Job, Phase: r.Phase, Outcome: r.Outcome, At: w.Now(),
	})
}

func (w *world) TriggerBatch(ctx context.Context, ts []ci.Trigger) ([]ci.Run, error) {
	var out []ci.Run
	for _, t := range ts {
		r, _, err := w.Trigger(ctx, t)
		if err != nil {
			return nil, err
		}
		out = append(out, *r)
	}
	return out, nil
}

func (w *world) Withdraw(ctx context.Context, job, key string) (*ci.Run, error) {
	if _, err := w.GetJob(ctx, job); err != nil {
		return nil, err
	}
	if key == "" {
		return nil, ci.Errorf(ci.CodeInvalid, "Idempotency-Key is missing")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	id, ok := w.keys[job+"\x00"+key]
	if !ok || id == 0 {
		w.keys[job+"\x00"+key] = 0
		return nil, nil
	}
	r := w.runs[id-1]
	return &r, nil
}

func (w *world) Abort(ctx context.Context, job string, id int64, _ string) (*ci.Run, error) {
	r, err := w.GetRun(ctx, job, id)
	if err != nil {
		return nil, err
	}
	if r.Done() {
		return nil, ci.Errorf(ci.CodeConflict, "run %d is done (%s)", id, r.Outcome)
	}
	w.change(id, func(r *ci.Run) { r.AbortRequestedAt = w.Now() })
	return w.GetRun(ctx, job, id)
}

func (w *world) Wait(ctx context.Context, job string, id int64, until ci.Until, d time.Duration) (*ci.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		r, err := w.GetRun(context.WithoutCancel(ctx), job, id)
		if err != nil || r.Reached(until) || ctx.Err() != nil {
			return r, err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (w *world) Explain(ctx context.Context, job string, id int64) (*ci.QueueReport, error) {
	r, err := w.GetRun(ctx, job, id)
	if err != nil {
		return nil, err
	}
	return &ci.QueueReport{Run: r.ID, Phase: r.Phase, Class: r.Class, Priority: r.Priority, Reason: "it is next"}, nil
}

func (w *world) GetRun(_ context.Context, job string, id int64) (*ci.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return nil, w.fail
	}
	if id < 1 || id > int64(len(w.runs)) || job != "" && w.runs[id-1].Job != job {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no run %d of job %s", id, job)
	}
	r := w.runs[id-1]
	return &r, nil
}

func (w *world) ListRuns(_ context.Context, f ci.RunFilter, limit int) ([]ci.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []ci.Run
	for _, r := range slices.Backward(w.runs) {
		if (f.Job == "" || r.Job == f.Job) && (f.Status == "" || r.Status == f.Status) && (f.Before == 0 || r.ID < f.Before) &&
			(f.Parent == 0 || r.Parent != nil && r.Parent.Run == f.Parent) && (f.BranchName == "" || r.BranchName == f.BranchName) && (f.Jobs == nil || slices.Contains(f.Jobs, r.Job)) && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, nil
}

// change changes a run and tells those who wait.
func (w *world) change(id int64, f func(*ci.Run)) {
	w.mu.Lock()
	f(&w.runs[id-1])
	w.mu.Unlock()
	_ = w.Publish(context.Background(), fmt.Sprintf("run.%d", id), nil)
}

// finish ends a run as succeeded and seals its console.
func (w *world) finish(id int64) {
	w.mu.Lock()
	r := &w.runs[id-1]
	sum := sha256.Sum256(w.console[id])
	code := 0
	r.Status, r.Phase, r.Outcome, r.Reason, r.ExitCode = ci.StatusDone, ci.PhaseCollecting, ci.OutcomeSucceeded, "The script exited 0.", &code
	r.Console = ci.Console{Bytes: int64(len(w.console[id])), SHA256: hex.EncodeToString(sum[:])}
	r.ScriptStarted, r.Times.Done = true, w.Now()
	w.addEvent(ci.EventRunDone, r)
	w.mu.Unlock()
	_ = w.Publish(context.Background(), fmt.Sprintf("run.%d", id), nil)
	_ = w.Publish(context.Background(), "events", nil)
}

func (w *world) QueueDepths(context.Context) ([]ci.QueueDepth, error) {
	return []ci.QueueDepth{{Lane: ci.Lane{Class: "small", Priority: ci.PriorityNormal}, Queued: 2}}, nil
}
