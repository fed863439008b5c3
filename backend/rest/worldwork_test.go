package rest

import (
	"context"
	"io"

	"ci/pkg/ci"
)

// idleWork is a world without anything to do for agents: nothing waits, and
// nobody holds a run. The suite of agentd/uplinktest tests the real one.
type idleWork struct{ *world }

func (w idleWork) Terms(_ context.Context, agent string) (*ci.Terms, error) {
	return &ci.Terms{Agent: agent, Classes: w.config.Classes}, nil
}

func (idleWork) Take(ctx context.Context, _ ci.Take, may func(context.Context) error) (*ci.Taken, error) {
	return nil, may(ctx)
}

func (idleWork) Claim(_ context.Context, c ci.Claim) (*ci.Work, error) { return nil, notHeld(c) }

func (idleWork) Renew(_ context.Context, _ string, claims []ci.Claim) (out []ci.Verdict, _ error) {
	for _, c := range claims {
		out = append(out, ci.Verdict{Run: c.Run, Gone: true})
	}
	return out, nil
}

func (w idleWork) Heartbeat(_ context.Context, a ci.Agent) (*ci.Drain, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.agents[a.ID] = a
	return nil, nil
}

func (idleWork) Keep(context.Context, string, ci.Lane) (bool, error)    { return false, nil }
func (idleWork) Held(context.Context, string) ([]int64, error)          { return nil, nil }
func (idleWork) DisownRuns(context.Context, string, []int64) error      { return nil }
func (idleWork) Aborts(context.Context, string) ([]int64, error)        { return nil, nil }
func (idleWork) Started(_ context.Context, c ci.Claim) error            { return notHeld(c) }
func (idleWork) Collecting(_ context.Context, c ci.Claim, _ *int) error { return notHeld(c) }
func (idleWork) Finish(_ context.Context, c ci.Claim, _ ci.End) error   { return notHeld(c) }

func (idleWork) AppendConsole(_ context.Context, c ci.Claim, _ int64, _ []byte) (int64, error) {
	return 0, notHeld(c)
}

// PutResult keeps all of body or nothing.
func (w idleWork) PutResult(_ context.Context, c ci.Claim, r ci.Result, body io.Reader) (ci.Result, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return r, err
	}
	w.putResult(c.Run, r.Name, r.Filename, r.ContentType, data)
	r.Run, r.Size = c.Run, int64(len(data))
	return r, nil
}

func notHeld(c ci.Claim) error {
	return ci.Errorf(ci.CodeConflict, "run %d is not held by this claim", c.Run)
}
