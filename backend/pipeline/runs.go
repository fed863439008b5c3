package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"ci/backend/pipeline/journal"
	"ci/pkg/api"
	"ci/pkg/ci"
	"ci/pkg/replay"
)

// startRun checks the parameters by running the program to its first call, and
// records the run. The work on it begins at once, wherever a process is free.
func (s *Service) startRun(r *request) (any, error) {
	var doc struct {
		Parameters map[string]string `json:"parameters"`
	}
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	p, err := s.Journal.GetPipeline(r.Context(), r.name())
	if err != nil {
		return nil, err
	}
	if _, err := s.probe(r.Context(), replay.Input{Name: p.Name, Program: p.Program, Parameters: doc.Parameters}); err != nil {
		return nil, err
	}
	return s.begin(r, &ci.PipelineRun{Pipeline: p.Name, Version: p.Version, Parameters: orEmpty(doc.Parameters)}, nil)
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// begin records a run, once for each Idempotency-Key.
func (s *Service) begin(r *request, run *ci.PipelineRun, reused []ci.PipelineCall) (any, error) {
	idempotency := r.Header.Get("Idempotency-Key")
	if err := (&ci.Trigger{IdempotencyKey: idempotency}).Validate(); err != nil {
		return nil, err
	}
	run.TriggeredBy, run.Triggered, run.Trace = r.who.Name, s.now(), s.Trace(r.Context())
	key := uuid.NewString()
	// Before the run is there, so that it never has a run that may go.
	err := s.pinReused(r.Context(), run.Pipeline, key, reused)
	again := false
	if err == nil {
		again, err = s.Journal.Begin(r.Context(), run, key, idempotency, reused)
	}
	if err != nil || again {
		s.unpin(context.WithoutCancel(r.Context()), key, reused)
	}
	if err != nil {
		return nil, err
	}
	s.nudge()
	a := reply{status: http.StatusCreated, header: map[string]string{"Location": fmt.Sprintf("/pipelines/%s/runs/%d", run.Pipeline, run.ID)}, body: run}
	if again {
		a.status = http.StatusOK
	}
	return a, nil
}

func (s *Service) listRuns(r *request) (any, error) {
	size, token, err := r.page()
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	f := journal.Filter{Pipeline: r.name(), Status: ci.Status(q.Get("status")), Outcome: ci.Outcome(q.Get("outcome")), Limit: size}
	if f.Pipeline == anyPipeline {
		f.Pipeline = ""
	}
	wait, err := r.wait()
	if err != nil {
		return nil, err
	}
	since := q.Get("since")
	if wait >= 0 && (since == "" || token != "") {
		return nil, ci.Errorf(ci.CodeInvalid, "wait holds the first page until it differs from one that was seen: give that one's state as since, and no pageToken")
	}
	if token != "" {
		if f.Before, err = strconv.ParseInt(token, 10, 64); err != nil || f.Before < 1 {
			return nil, ci.Errorf(ci.CodeInvalid, "pageToken %q is not one of ours", api.Cut(token, 50))
		}
	}
	if wait >= 0 {
		if err := s.holdList(r.Context(), f, wait, since); err != nil {
			return nil, err
		}
	}
	list, err := s.Journal.ListRuns(r.Context(), f)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(list) == size {
		next = strconv.FormatInt(list[size-1].ID, 10)
	}
	return map[string]any{"runs": list, "nextPageToken": next, "state": stateOf(list)}, nil
}

// holdList returns once the list of a filter is in another state than since, its
// time is up, or the server stops.
func (s *Service) holdList(ctx context.Context, f journal.Filter, wait time.Duration, since string) error {
	free, err := s.seat()
	if err != nil {
		return err
	}
	defer free()
	ctx, cancel := context.WithTimeout(ctx, min(wait, longestWait))
	defer cancel()
	list, leave := s.lists.join(f)
	defer leave()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for last := time.Now(); ; {
		state, err := list.now(ctx, last, func(ctx context.Context) (string, error) {
			runs, err := s.Journal.ListHeads(ctx, f)
			return stateOf(runs), err
		})
		if ctx.Err() != nil {
			return nil // the list is told as it is
		}
		if err != nil || state != since {
			return err
		}
		last = time.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-s.Stop:
			return nil
		case <-tick.C:
		}
	}
}

// stateOf is the same for two lists that show the same, whichever process has made them.
func stateOf(list []ci.PipelineRun) string {
	h := sha256.New()
	for _, r := range list {
		_, _ = fmt.Fprintf(h, "%d %s %s %q %d\n", r.ID, r.Status, r.Outcome, r.Reason, r.AbortRequestedAt.UnixMicro()) // a hash takes all
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// seat takes one of the places of answers that are held.
func (s *Service) seat() (free func(), err error) {
	select {
	case s.held <- struct{}{}:
		return func() { <-s.held }, nil
	default:
		return nil, ci.Errorf(ci.CodeTooMany, "%d answers are held already; try again in a moment", maxHeld)
	}
}

func (s *Service) load(r *request) (*ci.PipelineRun, error) {
	id, err := r.id()
	if err != nil {
		return nil, err
	}
	return s.Journal.GetRun(r.Context(), r.name(), id)
}

const (
	longestWait = time.Minute
	// glance is how often a held answer looks whether something has changed.
	glance = 500 * time.Millisecond
)

// getRun answers with a run. With wait the answer is held until the run is
// done, or differs from what the caller has seen: since=N is how many of its
// calls have begun or ended.
func (s *Service) getRun(r *request) (any, error) {
	wait, since, err := r.hold()
	if err != nil {
		return nil, err
	}
	run, err := s.load(r)
	if err != nil || wait < 0 {
		return run, err
	}
	free, err := s.seat()
	if err != nil {
		return nil, err
	}
	defer free()
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, longestWait))
	defer cancel()
	return s.hold(ctx, r, run, since)
}

// hold is how long the answer is to be held, -1 where it is not, and since
// which state of the run; -1 for until its end.
func (r *request) hold() (wait time.Duration, since int, err error) {
	since = -1
	if text := r.URL.Query().Get("since"); text != "" {
		if since, err = strconv.Atoi(text); err != nil {
			return 0, 0, ci.Errorf(ci.CodeInvalid, "since %q is no number", api.Cut(text, 50))
		}
	}
	wait, err = r.wait()
	return wait, since, err
}

// wait is how long the answer is to be held, -1 where it is not.
func (r *request) wait() (time.Duration, error) {
	q := r.URL.Query()
	if !q.Has("wait") {
		return -1, nil
	}
	wait, err := time.ParseDuration(q.Get("wait"))
	if err != nil || wait < 0 {
		return 0, ci.Errorf(ci.CodeInvalid, "wait %q is no duration; an example is 30s", api.Cut(q.Get("wait"), 50))
	}
	return wait, nil
}

func (s *Service) hold(ctx context.Context, r *request, run *ci.PipelineRun, since int) (any, error) {
	shown, leave := s.shown.join(run.ID)
	defer leave()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for last := time.Now(); !run.Finished() && (since < 0 || run.Progress() == since); {
		select {
		case <-ctx.Done():
			return run, nil
		case <-s.Stop:
			return run, nil
		case <-tick.C:
		}
		next, err := shown.now(ctx, last, func(ctx context.Context) (*ci.PipelineRun, error) {
			return s.Journal.GetRun(ctx, run.Pipeline, run.ID)
		})
		if ctx.Err() != nil {
			return run, nil
		}
		if err != nil {
			return nil, err
		}
		run, last = next, time.Now()
	}
	return run, nil
}

func (s *Service) getProgram(r *request) (any, error) {
	run, err := s.load(r)
	if err != nil {
		return nil, err
	}
	return s.Journal.Program(r.Context(), run.Pipeline, run.Version)
}

// getGraph is the run's calls as nodes and edges.
func (s *Service) getGraph(r *request) (any, error) {
	run, err := s.load(r)
	if err != nil {
		return nil, err
	}
	edges := [][2]string{}
	for _, c := range run.Calls {
		for _, before := range c.After {
			edges = append(edges, [2]string{before, c.ID})
		}
	}
	return map[string]any{"nodes": run.Calls, "edges": edges}, nil
}

func (s *Service) abortRun(r *request) (any, error) {
	run, err := s.load(r)
	if err != nil {
		return nil, err
	}
	if err := s.Journal.RequestAbort(r.Context(), run.Pipeline, run.ID, s.now()); err != nil {
		return nil, err
	}
	s.nudge()
	return s.load(r)
}

// answer is a yes or a no to an approval.
func (s *Service) answer(r *request) (any, error) {
	doc := struct {
		Approved *bool  `json:"approved"`
		Note     string `json:"note"`
	}{}
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if doc.Approved == nil {
		return nil, &ci.Error{Code: ci.CodeInvalid, Message: "the answer is not valid", Fields: []ci.Field{{Path: "approved", Message: "is missing; it is true or false"}}}
	}
	if len(doc.Note) > ci.MaxDescription || strings.ContainsRune(doc.Note, 0) {
		return nil, &ci.Error{Code: ci.CodeInvalid, Message: "the answer is not valid", Fields: []ci.Field{{Path: "note", Message: fmt.Sprintf("must be text of at most %d bytes", ci.MaxDescription)}}}
	}
	run, err := s.load(r)
	if err != nil {
		return nil, err
	}
	outcome, now := ci.OutcomeFailed, s.now()
	if *doc.Approved {
		outcome = ci.OutcomeSucceeded
	}
	value, err := json.Marshal(replay.AnswerValue{Approved: *doc.Approved, By: r.who.Name, Note: doc.Note, At: now})
	if err != nil {
		return nil, err
	}
	if err := s.Journal.Answer(r.Context(), run.ID, r.PathValue("call"), outcome, r.who.Name, doc.Note, value, now); err != nil {
		return nil, err
	}
	s.Log.Info("pipelines: an approval was answered", "pipeline", run.Pipeline, "run", run.ID, "call", r.PathValue("call"), "approved", *doc.Approved, "by", r.who.Name)
	s.nudge()
	return s.load(r)
}
