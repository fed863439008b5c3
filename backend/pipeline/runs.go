package pipeline

import (
	"context"
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
	if token != "" {
		if f.Before, err = strconv.ParseInt(token, 10, 64); err != nil || f.Before < 1 {
			return nil, ci.Errorf(ci.CodeInvalid, "pageToken %q is not one of ours", api.Cut(token, 50))
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
	return map[string]any{"runs": list, "nextPageToken": next}, nil
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
	// glance is how often a held answer looks whether the run is done.
	glance = 500 * time.Millisecond
)

// getRun answers with a run. With wait the answer is held until the run is
// done, or differs from what the caller has seen: since=N is how many of its
// calls have begun or ended.
func (s *Service) getRun(r *request, held chan struct{}) (any, error) {
	wait, since, err := r.hold()
	if err != nil {
		return nil, err
	}
	run, err := s.load(r)
	if err != nil || wait < 0 {
		return run, err
	}
	select {
	case held <- struct{}{}:
		defer func() { <-held }()
	default:
		return nil, ci.Errorf(ci.CodeTooMany, "%d answers are held already; try again in a moment", maxHeld)
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, longestWait))
	defer cancel()
	return s.hold(ctx, r, run, since)
}

// hold is how long the answer is to be held, -1 where it is not, and since
// which state of the run; -1 for until its end.
func (r *request) hold() (wait time.Duration, since int, err error) {
	q := r.URL.Query()
	wait, since = -1, -1
	if q.Has("wait") {
		if wait, err = time.ParseDuration(q.Get("wait")); err != nil || wait < 0 {
			return 0, 0, ci.Errorf(ci.CodeInvalid, "wait %q is no duration; an example is 30s", api.Cut(q.Get("wait"), 50))
		}
	}
	if text := q.Get("since"); text != "" {
		if since, err = strconv.Atoi(text); err != nil {
			return 0, 0, ci.Errorf(ci.CodeInvalid, "since %q is no number", api.Cut(text, 50))
		}
	}
	return wait, since, nil
}

func (s *Service) hold(ctx context.Context, r *request, run *ci.PipelineRun, since int) (any, error) {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for !run.Finished() && (since < 0 || run.Progress() == since) {
		select {
		case <-ctx.Done():
			return run, nil
		case <-s.Stop:
			return run, nil
		case <-tick.C:
		}
		var err error
		if run, err = s.load(r); err != nil {
			return nil, err
		}
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
