package api

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/api/gen/ci/v1/civ1connect"
	"ci/pkg/ci"
)

const (
	// takeWait is how long one call waits for a run. It is well below the time
	// after which load balancers cut quiet connections.
	takeWait = 20 * time.Second
	// takeMargin is how much longer its answer may take.
	takeMargin = 15 * time.Second
	// takeEnd bounds how long a Pull that was given up waits to learn whether a
	// run was claimed for it.
	takeEnd = 3 * time.Second
)

// Agent is what an agent tells the backend, and asks it, with an URL and a
// token of role agent alone. It is the agent's uplink, its queue and its bus.
//
// Its calls are not repeated by themselves, since the agent knows how long
// repeating makes sense. Two kinds of failure matter to it: ci.CodeConflict
// means that the claim holds no more, for good; whatever else it is may pass,
// and the lease says for how long to try.
type Agent struct {
	client *Client
	work   civ1connect.WorkServiceClient

	mu sync.Mutex
	// next is the id of the next claim. It stays until a run came under it, so
	// that a run whose answer was lost comes again.
	next string
	// seen are the terms that Classes has asked for; Depths is asked right after it.
	seen atomic.Pointer[seenTerms]
	bus  listeners
}

type seenTerms struct {
	terms *ci.Terms
	at    time.Time
}

// Agent returns the calls that an agent makes. The client's token has to be one of role agent.
func (c *Client) Agent() *Agent {
	return &Agent{client: c, work: civ1connect.NewWorkServiceClient(c.http, c.base.String()), next: newClaimID()}
}

func newClaimID() string { return uuid.Must(uuid.NewV7()).String() }

// lost is an error about a run, where one that was never ours, or is not there
// any more, is a claim that holds no more.
func lost(err error) error {
	if ci.CodeOf(err) != ci.CodeNotFound {
		return err
	}
	return &ci.Error{Code: ci.CodeConflict, Message: err.Error(), Cause: err}
}

// Terms tells who the agent is, its lease, the quota classes and what waits.
func (a *Agent) Terms(ctx context.Context) (*ci.Terms, error) {
	m, err := once(ctx, a.client, a.work.GetTerms, new(civ1.GetTermsRequest))
	if err != nil {
		return nil, err
	}
	return convert.FromTerms(m), nil
}

// Classes returns the quota classes, in ascending order.
func (a *Agent) Classes(ctx context.Context) ([]ci.Quota, error) {
	t, err := a.Terms(ctx)
	if err != nil {
		return nil, err
	}
	a.seen.Store(&seenTerms{t, time.Now()})
	return t.Classes, nil
}

// Depths returns what waits in each lane. What Classes has learned a moment ago will do.
func (a *Agent) Depths(ctx context.Context) ([]ci.QueueDepth, error) {
	if s := a.seen.Swap(nil); s != nil && time.Since(s.at) < time.Second {
		return s.terms.Depths, nil
	}
	t, err := a.Terms(ctx)
	if err != nil {
		return nil, err
	}
	return t.Depths, nil
}

// Claim takes a queued run. Repeating a claim with the same ID succeeds again.
func (a *Agent) Claim(ctx context.Context, c ci.Claim) (*ci.Work, error) {
	m, err := once(ctx, a.client, a.work.ClaimRun, &civ1.ClaimRunRequest{Claim: convert.ToClaim(&c)})
	if err != nil {
		return nil, err
	}
	return convert.FromWork(m.GetWork()), nil
}

// Renew keeps the claims alive. The agent is the token's, whatever is said here.
func (a *Agent) Renew(ctx context.Context, _ string, claims []ci.Claim) ([]ci.Verdict, error) {
	m, err := once(ctx, a.client, a.work.RenewRuns, &civ1.RenewRunsRequest{Claims: convert.ToClaims(claims)})
	if err != nil {
		return nil, err
	}
	return convert.FromVerdicts(m.GetVerdicts()), nil
}

// Heartbeat tells how the agent is, and returns the order to drain, or nil.
func (a *Agent) Heartbeat(ctx context.Context, agent ci.Agent) (*ci.Drain, error) {
	m, err := once(ctx, a.client, a.work.Heartbeat, &civ1.HeartbeatRequest{Agent: convert.ToAgent(&agent)})
	if err != nil || m.GetDrain() == nil {
		return nil, err
	}
	order := convert.FromDrain(m.GetDrain())
	return &order, nil
}

// Disown ends, as lost, every run of an earlier life of the agent. It names
// the runs, so that a call which arrives late ends nothing newer.
func (a *Agent) Disown(ctx context.Context, _ string) error {
	held, err := call(ctx, a.client, a.work.ListHeldRuns, new(civ1.ListHeldRunsRequest))
	if err != nil || len(held.GetRuns()) == 0 {
		return err
	}
	_, err = call(ctx, a.client, a.work.DisownRuns, &civ1.DisownRunsRequest{Runs: held.GetRuns()})
	return err
}

// Started says that the script begins.
func (a *Agent) Started(ctx context.Context, c ci.Claim) error {
	_, err := once(ctx, a.client, a.work.StartRun, &civ1.StartRunRequest{Claim: convert.ToClaim(&c)})
	return lost(err)
}

// Collecting says that the script has ended.
func (a *Agent) Collecting(ctx context.Context, c ci.Claim, exitCode *int) error {
	_, err := once(ctx, a.client, a.work.CollectRun, &civ1.CollectRunRequest{Claim: convert.ToClaim(&c), ExitCode: convert.ToExitCode(exitCode)})
	return lost(err)
}

// AppendConsole stores data at byte offset and returns the next offset. What
// is more than a call may carry is left for the next.
func (a *Agent) AppendConsole(ctx context.Context, c ci.Claim, offset int64, data []byte) (int64, error) {
	m, err := once(ctx, a.client, a.work.AppendConsole, &civ1.AppendConsoleRequest{
		Claim: convert.ToClaim(&c), Offset: float64(offset), Data: data[:min(len(data), consolePiece)],
	})
	return int64(m.GetNext()), lost(err)
}

// consolePiece is the most that one call appends to a console, in bytes.
const consolePiece = 1 << 20

// Finish ends a run for good.
func (a *Agent) Finish(ctx context.Context, c ci.Claim, e ci.End) error {
	_, err := once(ctx, a.client, a.work.FinishRun, &civ1.FinishRunRequest{Claim: convert.ToClaim(&c), End: convert.ToEnd(&e)})
	return lost(err)
}

// Keep asks to be among the few agents that keep their room for the runs of a lane.
func (a *Agent) Keep(ctx context.Context, _ string, lane ci.Lane) (bool, error) {
	m, err := once(ctx, a.client, a.work.KeepRoom, &civ1.KeepRoomRequest{Lane: convert.ToLane(&lane)})
	return m.GetKeep(), err
}

// Pull is PullAfter that lets nobody go first.
func (a *Agent) Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	return a.PullAfter(ctx, lanes, 0)
}

// PullAfter blocks until the backend has claimed a run for the agent, or ctx ends.
// The delivery has the run, and its message is settled. A Pull that is given
// up at the very moment when a run was claimed returns it all the same; if
// even that answer is lost, the next Pull gets the run. hesitation lets other
// agents go first when a run comes in, for so long.
func (a *Agent) PullAfter(ctx context.Context, lanes []ci.Lane, hesitation time.Duration) (ci.Delivery, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for pause := firstPause; ; {
		began := time.Now()
		taken, err := a.pull(ctx, ci.Take{ID: a.next, Lanes: lanes, Wait: takeWait, Hesitation: hesitation})
		switch {
		case taken != nil:
			a.next = newClaimID()
			return settled(taken), nil
		case ctx.Err() != nil:
			return ci.Delivery{}, ctx.Err()
		case ci.CodeOf(err) == ci.CodeConflict: // the id is used up
			a.next = newClaimID()
		case err != nil:
			return ci.Delivery{}, err
		}
		if time.Since(began) > time.Second {
			pause = firstPause
			continue
		}
		// The server stops, or another process takes in this agent's name.
		_ = sleep(ctx, jitter(pause)) // its end is seen by the next pull
		pause = min(2*pause, longPause)
	}
}

// pull makes one call, and sees to its end when ctx ends.
func (a *Agent) pull(ctx context.Context, t ci.Take) (*ci.Taken, error) {
	type answer struct {
		taken *ci.Taken
		err   error
	}
	hold, cut := context.WithTimeout(context.WithoutCancel(ctx), takeWait+takeMargin)
	defer cut()
	answers := make(chan answer, 1)
	go func() {
		taken, err := a.take(hold, t)
		answers <- answer{taken, err}
	}()
	select {
	case got := <-answers:
		return got.taken, got.err
	case <-ctx.Done():
	}
	// The call that waits is told to stop by another one, and says whether it has a run.
	short, end := context.WithTimeout(hold, takeEnd)
	defer end()
	if taken, err := a.take(short, ci.Take{ID: t.ID}); taken != nil || err != nil {
		return taken, err
	}
	select {
	case got := <-answers:
		return got.taken, got.err
	case <-short.Done():
		return nil, ctx.Err()
	}
}

// take calls TakeRun.
func (a *Agent) take(ctx context.Context, t ci.Take) (*ci.Taken, error) {
	sent := time.Now()
	m, err := once(ctx, a.client, a.work.TakeRun, &civ1.TakeRunRequest{
		Claim: t.ID, Lanes: convert.ToLanes(t.Lanes), Wait: durationpb.New(t.Wait), Hesitation: durationpb.New(t.Hesitation),
	})
	if err != nil || m.GetWork() == nil {
		return nil, err
	}
	work := convert.FromWork(m.GetWork())
	return &ci.Taken{
		Claim: ci.Claim{Run: work.Run.ID, Agent: work.Run.Agent, ID: t.ID},
		Lane:  convert.FromLane(m.GetLane()), Work: work,
		// The request was sent before it arrived, so the lease began later than this.
		Since: sent.Add(m.GetWaited().AsDuration()),
	}, nil
}

// settled is a delivery with nothing left to settle.
func settled(t *ci.Taken) ci.Delivery {
	return ci.Delivery{
		Run: t.Claim.Run, Lane: t.Lane, Taken: t,
		Ack: func(context.Context) error { return nil },
		Nak: func(context.Context, time.Duration) error {
			return ci.Errorf(ci.CodeConflict, "run %d is claimed already and can't be given back", t.Claim.Run)
		},
	}
}
