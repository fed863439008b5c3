package rpc

import (
	"context"
	"io"
	"math"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// Work is what agents have done; backend/engine does it. Whoever calls has
// seen to it that the agent is the caller.
type Work interface {
	Terms(ctx context.Context, agent string) (*ci.Terms, error)
	Take(ctx context.Context, t ci.Take, may func(context.Context) error) (*ci.Taken, error)
	Claim(ctx context.Context, c ci.Claim) (*ci.Work, error)
	Renew(ctx context.Context, agent string, claims []ci.Claim) ([]ci.Verdict, error)
	Heartbeat(ctx context.Context, a ci.Agent) (*ci.Drain, error)
	Keep(ctx context.Context, agent string, lane ci.Lane) (bool, error)
	Held(ctx context.Context, agent string) ([]int64, error)
	DisownRuns(ctx context.Context, agent string, runs []int64) error
	Aborts(ctx context.Context, agent string) ([]int64, error)
	Started(ctx context.Context, c ci.Claim) error
	Collecting(ctx context.Context, c ci.Claim, exitCode *int) error
	AppendConsole(ctx context.Context, c ci.Claim, offset int64, data []byte) (next int64, err error)
	PutResult(ctx context.Context, c ci.Claim, r ci.Result, body io.Reader) (ci.Result, error)
	Finish(ctx context.Context, c ci.Claim, e ci.End) error
}

const (
	// maxTakeWait bounds how long an agent may have its call held.
	maxTakeWait = time.Minute
	// maxHesitation bounds how long one may let others go first.
	maxHesitation = 5 * time.Second
	maxLanes      = 200
	maxClaims     = 1000
	// maxConsolePiece is the most that is appended to a console at once, in bytes.
	maxConsolePiece = 1 << 20
)

// agentOf returns the agent that calls.
func agentOf(ctx context.Context) (string, error) {
	p, _ := auth.FromContext(ctx)
	if err := auth.May(p, auth.AgentWork, ""); err != nil {
		return "", err
	}
	if p.Agent == "" {
		return "", ci.Errorf(ci.CodeForbidden, "the token %s names no agent; make one with `ci token create NAME --role agent --agent ID`", p.Name)
	}
	return p.Agent, nil
}

// held returns the claim in the caller's name. A run that this agent never
// held is not there to it; whether the claim still holds is for the engine to
// say, in the transaction that changes something.
func (s *Services) held(ctx context.Context, m *civ1.Claim) (ci.Claim, error) {
	c := convert.FromClaim(m)
	var err error
	if c.Agent, err = agentOf(ctx); err != nil {
		return c, err
	}
	run, err := s.Store.GetRun(ctx, "", c.Run)
	if err != nil && ci.CodeOf(err) != ci.CodeNotFound {
		return c, err
	}
	if err != nil || run.Agent != c.Agent {
		return c, ci.Errorf(ci.CodeNotFound, "agent %s holds no run %d", c.Agent, c.Run)
	}
	return c, nil
}

// checkClaimID wants a UUID: nothing that two agents could choose alike.
func checkClaimID(path, id string) error {
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		return wrong("the claim", path, "is not a UUID in its usual form")
	}
	return nil
}

// GetTerms tells the lease, the quota classes and what waits.
func (s *Services) GetTerms(ctx context.Context, _ *civ1.GetTermsRequest) (*civ1.Terms, error) {
	agent, err := agentOf(ctx)
	if err != nil {
		return nil, err
	}
	terms, err := s.Work.Terms(ctx, agent)
	if err != nil {
		return nil, err
	}
	return convert.ToTerms(terms), nil
}

// TakeRun waits for a run and claims it.
func (s *Services) TakeRun(ctx context.Context, req *civ1.TakeRunRequest) (*civ1.TakeRunResponse, error) {
	began := time.Now()
	agent, err := agentOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkClaimID("claim", req.GetClaim()); err != nil {
		return nil, err
	}
	if len(req.GetLanes()) > maxLanes {
		return nil, wrong("the request", "lanes", "has %d entries; at most %d are allowed", len(req.GetLanes()), maxLanes)
	}
	t := ci.Take{
		Agent: agent, ID: req.GetClaim(), Lanes: convert.FromLanes(req.GetLanes()),
		Wait:       min(max(req.GetWait().AsDuration(), 0), maxTakeWait),
		Hesitation: min(max(req.GetHesitation().AsDuration(), 0), maxHesitation),
	}
	p, _ := auth.FromContext(ctx)
	ctx, cancel := s.UntilStop(ctx)
	defer cancel()
	taken, err := s.Work.Take(ctx, t, func(ctx context.Context) error { return s.Tokens.Living(ctx, p.TokenID) })
	if err != nil || taken == nil {
		return new(civ1.TakeRunResponse), err
	}
	return &civ1.TakeRunResponse{
		Work: convert.ToWork(taken.Work), Lane: convert.ToLane(&taken.Lane), Waited: durationpb.New(taken.Since.Sub(began)),
	}, nil
}

// ClaimRun claims a queued run.
func (s *Services) ClaimRun(ctx context.Context, req *civ1.ClaimRunRequest) (*civ1.ClaimRunResponse, error) {
	agent, err := agentOf(ctx)
	if err != nil {
		return nil, err
	}
	c := convert.FromClaim(req.GetClaim())
	c.Agent = agent
	if err := checkClaimID("claim.id", c.ID); err != nil {
		return nil, err
	}
	work, err := s.Work.Claim(ctx, c)
	if err != nil {
		return nil, err
	}
	return &civ1.ClaimRunResponse{Work: convert.ToWork(work)}, nil
}

// RenewRuns prolongs leases.
func (s *Services) RenewRuns(ctx context.Context, req *civ1.RenewRunsRequest) (*civ1.RenewRunsResponse, error) {
	agent, err := agentOf(ctx)
	if err != nil {
		return nil, err
	}
	claims := convert.FromClaims(req.GetClaims())
	if len(claims) > maxClaims {
		return nil, wrong("the request", "claims", "has %d entries; at most %d are allowed", len(claims), maxClaims)
	}
	for i := range claims {
		claims[i].Agent = agent
	}
	verdicts, err := s.Work.Renew(ctx, agent, claims)
	if err != nil {
		return nil, err
	}
	return &civ1.RenewRunsResponse{Verdicts: convert.ToVerdicts(verdicts)}, nil
}

// Heartbeat records how an agent is, and tells whether it should drain.
func (s *Services) Heartbeat(ctx context.Context, req *civ1.HeartbeatRequest) (*civ1.HeartbeatResponse, error) {
	agent, err := agentOf(ctx)
	if err != nil {
		return nil, err
	}
	a := convert.FromAgent(req.GetAgent())
	a.ID = agent
	order, err := s.Work.Heartbeat(ctx, a)
	if err != nil || order == nil {
		return new(civ1.HeartbeatResponse), err
	}
	return &civ1.HeartbeatResponse{Drain: convert.ToDrain(order)}, nil
}

// KeepRoom answers whether an agent keeps its room for the runs of a lane.
func (s *Services) KeepRoom(ctx context.Context, req *civ1.KeepRoomRequest) (*civ1.KeepRoomResponse, error) {
	agent, err := agentOf(ctx)
	if err != nil {
		return nil, err
	}
	keep, err := s.Work.Keep(ctx, agent, convert.FromLane(req.GetLane()))
	if err != nil {
		return nil, err
	}
	return &civ1.KeepRoomResponse{Keep: keep}, nil
}

// ListHeldRuns lists the runs that the agent has claimed.
func (s *Services) ListHeldRuns(ctx context.Context, _ *civ1.ListHeldRunsRequest) (*civ1.ListHeldRunsResponse, error) {
	agent, err := agentOf(ctx)
	if err != nil {
		return nil, err
	}
	runs, err := s.Work.Held(ctx, agent)
	if err != nil {
		return nil, err
	}
	return &civ1.ListHeldRunsResponse{Runs: convert.ToRunIDs(runs)}, nil
}

// DisownRuns ends runs of an earlier life of the agent.
func (s *Services) DisownRuns(ctx context.Context, req *civ1.DisownRunsRequest) (*emptypb.Empty, error) {
	agent, err := agentOf(ctx)
	if err != nil {
		return nil, err
	}
	return empty(s.Work.DisownRuns(ctx, agent, convert.FromRunIDs(req.GetRuns())))
}

// StartRun says that the script begins.
func (s *Services) StartRun(ctx context.Context, req *civ1.StartRunRequest) (*emptypb.Empty, error) {
	c, err := s.held(ctx, req.GetClaim())
	if err != nil {
		return nil, err
	}
	return empty(s.Work.Started(ctx, c))
}

// CollectRun says that the script has ended.
func (s *Services) CollectRun(ctx context.Context, req *civ1.CollectRunRequest) (*emptypb.Empty, error) {
	c, err := s.held(ctx, req.GetClaim())
	if err != nil {
		return nil, err
	}
	return empty(s.Work.Collecting(ctx, c, convert.FromExitCode(req.ExitCode)))
}

// AppendConsole stores console output.
func (s *Services) AppendConsole(ctx context.Context, req *civ1.AppendConsoleRequest) (*civ1.AppendConsoleResponse, error) {
	c, err := s.held(ctx, req.GetClaim())
	if err != nil {
		return nil, err
	}
	if n := len(req.GetData()); n > maxConsolePiece {
		return nil, ci.Errorf(ci.CodeTooLarge, "the piece of console has %s; at most %s are taken at once", ci.Bytes(int64(n)), ci.Bytes(maxConsolePiece))
	}
	offset := req.GetOffset()
	if offset < 0 || offset > 1<<53 || offset != math.Trunc(offset) {
		return nil, wrong("the request", "offset", "%v is not a number of bytes", offset)
	}
	next, err := s.Work.AppendConsole(ctx, c, int64(offset), req.GetData())
	if err != nil {
		return nil, err
	}
	return &civ1.AppendConsoleResponse{Next: float64(next)}, nil
}

// FinishRun ends a run.
func (s *Services) FinishRun(ctx context.Context, req *civ1.FinishRunRequest) (*emptypb.Empty, error) {
	c, err := s.held(ctx, req.GetClaim())
	if err != nil {
		return nil, err
	}
	return empty(s.Work.Finish(ctx, c, convert.FromEnd(req.GetEnd())))
}

// empty is the answer of what only succeeds or fails.
func empty(err error) (*emptypb.Empty, error) {
	if err != nil {
		return nil, err
	}
	return new(emptypb.Empty), nil
}
