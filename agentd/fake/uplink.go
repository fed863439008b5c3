package fake

import (
	"context"
	"io"
	"time"

	"ci/pkg/ci"
)

// Claim implements agentd.Uplink.
func (b *Backend) Claim(ctx context.Context, c ci.Claim) (work *ci.Work, err error) {
	err = b.call(ctx, "claim", func() error {
		r := b.runs[c.Run]
		switch {
		case r == nil:
			return ci.Errorf(ci.CodeNotFound, "there is no run %d", c.Run)
		case r.Run.Claim == c.ID && r.Run.Phase == ci.PhasePreparing && !r.Run.Done(): // said again
		case r.Run.Done() || r.Run.Phase != ci.PhaseQueued:
			return ci.Errorf(ci.CodeConflict, "run %d is taken or done", c.Run)
		case b.drains[c.Agent] != nil:
			return ci.Errorf(ci.CodeForbidden, "agent %s is ordered to drain", c.Agent)
		default:
			r.Run.Phase, r.Run.Agent, r.Run.Claim = ci.PhasePreparing, c.Agent, c.ID
			r.Run.LeaseUntil = time.Now().Add(b.TTL)
			r.Claims++
			r.Reports = append(r.Reports, string(ci.PhasePreparing))
		}
		work = &ci.Work{
			Secrets: b.Secrets,
			Run:     r.Run, Timeout: b.Timeout, AbortGrace: b.Grace, URL: "http://ci.test/runs/1",
			MaxConsole: b.MaxConsole, MaxResult: b.MaxResult, MaxResultFiles: 100,
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return work, nil
}

// Renew implements agentd.Uplink.
func (b *Backend) Renew(ctx context.Context, _ string, claims []ci.Claim) (verdicts []ci.Verdict, err error) {
	err = b.call(ctx, "renew", func() error {
		for _, c := range claims {
			v := ci.Verdict{Run: c.Run}
			if r, err := b.owned(c); err != nil {
				v.Gone = true
			} else {
				r.Run.LeaseUntil = time.Now().Add(b.TTL)
				v.Abort = !r.Run.AbortRequestedAt.IsZero()
			}
			verdicts = append(verdicts, v)
		}
		return nil
	})
	return verdicts, err
}

// Heartbeat implements agentd.Uplink.
func (b *Backend) Heartbeat(ctx context.Context, a ci.Agent) (order *ci.Drain, err error) {
	err = b.call(ctx, "heartbeat", func() error {
		a.SeenAt = time.Now()
		b.agents[a.ID] = a
		order = b.drains[a.ID]
		return nil
	})
	return order, err
}

// Keep implements agentd.Keeper: one agent for each run that waits in the lane.
func (b *Backend) Keep(ctx context.Context, agent string, lane ci.Lane) (yes bool, err error) {
	err = b.call(ctx, "keep", func() error {
		now := time.Now()
		held := b.keepers[lane]
		if held == nil {
			held = map[string]time.Time{}
			b.keepers[lane] = held
		}
		for name, until := range held {
			if !now.Before(until) {
				delete(held, name)
			}
		}
		if _, mine := held[agent]; mine || len(held) < len(b.lanes[lane]) {
			held[agent] = now.Add(ci.KeepFor)
			yes = true
		}
		return nil
	})
	return yes, err
}

// Keepers counts the agents that keep room for a lane.
func (b *Backend) Keepers(lane ci.Lane) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, until := range b.keepers[lane] {
		if time.Now().Before(until) {
			n++
		}
	}
	return n
}

// Rows returns a copy of what is known of all runs, by id, without their consoles.
func (b *Backend) Rows() []Row {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows := make([]Row, 0, len(b.runs))
	for id := range b.last {
		row := *b.runs[id+1]
		row.Console = nil
		rows = append(rows, row)
	}
	return rows
}

// Started implements runner.Uplink.
func (b *Backend) Started(ctx context.Context, c ci.Claim) error {
	return b.call(ctx, "started", func() error {
		r, moved, err := b.move(c, ci.PhaseRunning)
		if err == nil && moved {
			r.Run.ScriptStarted = true
			r.Run.Times.Started = time.Now()
			r.Starts++
		}
		return err
	})
}

// Collecting implements runner.Uplink.
func (b *Backend) Collecting(ctx context.Context, c ci.Claim, exitCode *int) error {
	return b.call(ctx, "collecting", func() error {
		r, _, err := b.move(c, ci.PhaseCollecting)
		if err == nil {
			r.Run.ExitCode = exitCode
		}
		return err
	})
}

// AppendConsole implements runner.Uplink.
func (b *Backend) AppendConsole(ctx context.Context, c ci.Claim, offset int64, data []byte) (next int64, err error) {
	err = b.call(ctx, "append", func() error {
		r, err := b.owned(c)
		if err != nil {
			return err
		}
		end := int64(len(r.Console))
		if offset > end {
			return ci.Errorf(ci.CodeConflict, "the console of run %d ends at %d, not at %d", c.Run, end, offset)
		}
		if skip := end - offset; skip < int64(len(data)) {
			r.Console = append(r.Console, data[skip:]...)
		}
		next = offset + int64(len(data))
		return nil
	})
	return next, err
}

// PutResult implements runner.Uplink.
func (b *Backend) PutResult(ctx context.Context, c ci.Claim, res ci.Result, body io.Reader) (ci.Result, error) {
	text, err := readAll(body)
	if err != nil {
		return res, err
	}
	err = b.call(ctx, "result", func() error {
		r, err := b.owned(c)
		if err == nil {
			r.Results[res.Name] = text
		}
		return err
	})
	sum := sumOf([]byte(text))
	res.Size, res.SHA256 = sum.Bytes, sum.SHA256
	return res, err
}

// Finish implements runner.Uplink. The console must be whole.
func (b *Backend) Finish(ctx context.Context, c ci.Claim, e ci.End) error {
	return b.call(ctx, "finish", func() error {
		r := b.runs[c.Run]
		if r != nil && r.Run.Claim == c.ID && r.Run.Done() && r.Run.Outcome == e.Outcome && r.Run.Reason == e.Reason {
			return nil // said again
		}
		r, err := b.owned(c)
		if err != nil {
			return err
		}
		if !ci.Allowed(r.Run.Phase, ci.State{Outcome: e.Outcome}) {
			return ci.Errorf(ci.CodeConflict, "run %d can't go from %s to %s", c.Run, r.Run.Phase, e.Outcome)
		}
		sealed := sumOf(r.Console)
		if sealed.Bytes != e.Console.Bytes || sealed.SHA256 != e.Console.SHA256 {
			return ci.Errorf(ci.CodeInvalid, "the console of run %d holds %d bytes, not %d, or others", c.Run, sealed.Bytes, e.Console.Bytes)
		}
		b.done(r, e)
		return nil
	})
}
