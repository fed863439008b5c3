package journal

import (
	"context"
	"database/sql"
	"encoding/json"

	"ci/pkg/ci"
)

const callFields = "id, kind, title, args, after, line, done, outcome, reason, job, child, answer_by, reused, value, began_at, ended_at"

// Calls returns the calls of a run in the order in which they were made.
func (j *Journal) Calls(ctx context.Context, run int64) ([]ci.PipelineCall, error) {
	list := []ci.PipelineCall{}
	err := j.each(ctx, j.db, func(r *sql.Rows) error {
		e, err := scanCall(r)
		list = append(list, e)
		return err
	}, "SELECT "+callFields+" FROM pipeline_calls WHERE run = ? ORDER BY seq", run)
	return list, err
}

func scanCall(r *sql.Rows) (e ci.PipelineCall, err error) {
	var args, after, value, job string
	var done, reused, child, began, ended int64
	err = r.Scan(&e.ID, &e.Kind, &e.Title, &args, &after, &e.Line, &done, &e.Outcome, &e.Reason, &job, &child, &e.By, &reused, &value, &began, &ended)
	if err != nil {
		return e, err
	}
	e.Args, e.Done, e.Reused = json.RawMessage(args), done == 1, reused == 1
	if value != "" {
		e.Value = json.RawMessage(value)
	}
	if child != 0 {
		e.Run = &ci.RunRef{Job: job, Run: child}
	}
	e.Began, e.Ended = moment(began), moment(ended)
	return e, json.Unmarshal([]byte(after), &e.After)
}

func (j *Journal) insertCall(ctx context.Context, tx *sql.Tx, run int64, seq int, e *ci.PipelineCall) error {
	after, err := json.Marshal(e.After)
	if err != nil {
		return err
	}
	job, child := child(e)
	_, err = j.exec(ctx, tx, "INSERT INTO pipeline_calls (run, seq, "+callFields+") VALUES ("+places(18)+")",
		run, seq, e.ID, e.Kind, e.Title, string(e.Args), string(after), e.Line, flag(e.Done), e.Outcome, e.Reason, job, child, e.By, flag(e.Reused), string(e.Value),
		micros(e.Began), micros(e.Ended))
	return err
}

// updateCall writes what came of a call. One that is done already, by an answer
// that came meanwhile, is ci.CodeConflict: the worker has to look again.
func (j *Journal) updateCall(ctx context.Context, tx *sql.Tx, run int64, e *ci.PipelineCall) error {
	job, child := child(e)
	n, err := j.exec(ctx, tx, "UPDATE pipeline_calls SET done = ?, outcome = ?, reason = ?, job = ?, child = ?, value = ?, ended_at = ? WHERE run = ? AND id = ? AND done = 0",
		flag(e.Done), e.Outcome, e.Reason, job, child, string(e.Value), micros(e.Ended), run, e.ID)
	if err == nil && n == 0 {
		return ci.Errorf(ci.CodeConflict, "call %s of run %d was answered meanwhile: %w", e.ID, run, ErrAnswered)
	}
	return err
}

func child(e *ci.PipelineCall) (string, int64) {
	if e.Run == nil {
		return "", 0
	}
	return e.Run.Job, e.Run.Run
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
