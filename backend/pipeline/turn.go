package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"ci/backend/pipeline/journal"
	"ci/pkg/ci"
	"ci/pkg/replay"
)

// turn is what a worker does with one run between its claim and its release.
type turn struct {
	*Service
	*journal.Work
	finished bool
}

// run carries out calls and replays the program until nothing more can be
// known. It returns when to look again, and for people what it waits for.
func (t *turn) run(ctx context.Context) (wake time.Time, reason string, err error) {
	for first := true; ; first = false {
		if err := t.stop(ctx); err != nil {
			return wake, "", err
		}
		news, failed := t.settle(ctx)
		if failed != nil && !news {
			return wake, "", failed
		}
		if t.Ending == nil && (news || first) {
			if news, err = t.advance(ctx); err != nil {
				return wake, "", err
			}
		}
		switch {
		case t.Ending != nil && t.allDone():
			return wake, "", t.close(ctx)
		case failed != nil && !news:
			return wake, "", failed
		case !news:
			return t.nextLook(), t.waitsFor(), nil
		}
	}
}

// close ends the run.
func (t *turn) close(ctx context.Context) error {
	now := t.now()
	if err := t.Journal.Finish(ctx, t.Work, now); err != nil {
		return err
	}
	t.finished = true
	t.unpin(ctx, t.Key, t.Calls)
	ended := t.PipelineRun
	ended.Status, ended.Outcome, ended.Reason, ended.Done = ci.StatusDone, t.Ending.Outcome, t.Ending.Reason, now
	t.Service.Done(&ended)
	t.Log.Info("pipeline is done", "pipeline", t.Pipeline, "run", t.ID, "outcome", t.Ending.Outcome, "reason", t.Ending.Reason)
	return nil
}

// stop notes that somebody has asked for the run's end, or that it is too old.
func (t *turn) stop(ctx context.Context) error {
	if t.Ending != nil {
		return nil
	}
	switch {
	case !t.AbortRequestedAt.IsZero():
		t.Ending = &journal.Ending{Outcome: ci.OutcomeAborted, Reason: "somebody asked for its end"}
	case t.now().After(t.Triggered.Add(t.MaxAge)):
		t.Ending = &journal.Ending{Outcome: ci.OutcomeTimedOut, Reason: fmt.Sprintf("it was not done within %s", t.MaxAge)}
	default:
		return nil
	}
	return t.Journal.Save(ctx, t.Work, nil, nil, t.until())
}

func (t *turn) until() time.Time { return t.now().Add(t.Service.Lease) }

// advance replays the program and records the calls that are new. news says
// that there is something to carry out, or that the program has ended.
func (t *turn) advance(ctx context.Context) (news bool, err error) {
	out, err := t.Evaluate(ctx, t.input())
	if err != nil {
		return false, err
	}
	made := make([]ci.PipelineCall, len(out.New))
	for i := range out.New {
		made[i] = newCall(&out.New[i], t.now())
	}
	if out.Ended() {
		t.Ending = &journal.Ending{Outcome: out.Outcome, Reason: out.Reason}
	}
	if len(made) == 0 && !out.Ended() {
		return false, nil
	}
	if err := t.Journal.Save(ctx, t.Work, made, nil, t.until()); err != nil {
		return false, err
	}
	t.Calls = append(t.Calls, made...)
	return true, nil
}

// input is what the program depends on.
func (t *turn) input() replay.Input {
	in := replay.Input{Name: t.Pipeline, Program: t.Program, Parameters: t.Parameters, Now: t.now(), Calls: make([]replay.Call, len(t.Calls))}
	for i := range t.Calls {
		c := &t.Calls[i]
		in.Calls[i] = replay.Call{
			ID: c.ID, Kind: c.Kind, Title: c.Title, Args: c.Args, After: c.After, Line: c.Line,
			Done: c.Done, Value: c.Value, Order: c.Ended.UnixMicro(),
		}
	}
	return in
}

// newCall is the record of a call that the program has made for the first time.
func newCall(c *replay.Call, now time.Time) ci.PipelineCall {
	made := ci.PipelineCall{ID: c.ID, Kind: c.Kind, Title: c.Title, Args: c.Args, After: c.After, Line: c.Line, Value: c.Value, Began: now}
	if c.Done {
		made.Done, made.Outcome, made.Ended = true, ci.OutcomeSucceeded, now
	}
	return made
}

// allDone says whether every run that the program triggered has ended.
func (t *turn) allDone() bool {
	for i := range t.Calls {
		if !t.Calls[i].Done {
			return false
		}
	}
	return true
}

// nextLook is when something may have changed that no event tells of.
func (t *turn) nextLook() time.Time {
	now := t.now()
	wake := t.Triggered.Add(t.MaxAge).Add(time.Second)
	sooner := func(at time.Time) {
		if at.Before(wake) {
			wake = at
		}
	}
	for i := range t.Calls {
		c := &t.Calls[i]
		switch {
		case c.Done:
		case c.Kind == ci.CallSleep, c.Kind == ci.CallApprove:
			if at := deadline(c); !at.IsZero() {
				sooner(at)
			}
		case c.Run == nil || c.Kind != ci.CallRun:
			sooner(now.Add(pause)) // its effect could not be had
		default:
			sooner(now.Add(t.Look))
		}
	}
	return wake
}

// deadline is when a sleep ends or an approval's time is over; zero for never.
func deadline(c *ci.PipelineCall) time.Time {
	var a struct {
		For     ci.Duration `json:"for"`
		Timeout ci.Duration `json:"timeout"`
	}
	if json.Unmarshal(c.Args, &a) != nil || a.For+a.Timeout == 0 && c.Kind == ci.CallApprove {
		return time.Time{}
	}
	return c.Began.Add(time.Duration(a.For + a.Timeout))
}

// waitsFor says for people what keeps the run from going on.
func (t *turn) waitsFor() string {
	var first string
	more := -1
	for i := range t.Calls {
		c := &t.Calls[i]
		if c.Done {
			continue
		}
		if more++; more == 0 {
			first = t.waitsForOne(c)
		}
	}
	if more > 0 {
		first += fmt.Sprintf(", and for %d more", more)
	}
	return first
}

func (t *turn) waitsForOne(c *ci.PipelineCall) string {
	switch {
	case c.Reason != "":
		return c.Title + ": " + c.Reason
	case c.Kind == ci.CallApprove:
		return fmt.Sprintf("waits for an answer to %q", c.Title)
	case c.Kind == ci.CallSleep:
		return "sleeps until " + deadline(c).Format(time.RFC3339)
	case c.Run != nil && t.Ending != nil:
		return fmt.Sprintf("ends as %s once %s has ended", t.Ending.Outcome, c.Run)
	case c.Run != nil:
		return "waits for " + c.Run.String()
	}
	return "waits for " + c.Title
}
