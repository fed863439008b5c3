package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ListAgents lists all agents. Which runs they hold is left out for limited tokens.
func (s *Services) ListAgents(ctx context.Context, _ *civ1.ListAgentsRequest) (*civ1.ListAgentsResponse, error) {
	agents, err := s.Store.ListAgents(ctx)
	if err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	out := new(civ1.ListAgentsResponse)
	for i := range agents {
		if p.Limited() {
			agents[i].Runs = nil
		}
		out.Agents = append(out.Agents, convert.ToAgent(&agents[i]))
	}
	return out, nil
}

// DrainAgent orders an agent to take nothing new.
func (s *Services) DrainAgent(ctx context.Context, req *civ1.DrainAgentRequest) (*civ1.Drain, error) {
	if _, err := s.Store.GetAgent(ctx, req.GetId()); err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	d := convert.FromDrain(req.GetDrain())
	if err := d.Validate(); err != nil {
		return nil, err
	}
	d.Since, d.By, d.Leaving, d.Runs = s.Store.Now(), p.Name, false, nil
	if err := s.Store.SetDrain(ctx, req.GetId(), &d); err != nil {
		return nil, err
	}
	s.Log.Info("agent is drained", "agent", req.GetId(), "by", d.By, "deadline", d.Deadline, "then", d.Then, "reason", d.Reason)
	s.tellAgents(ctx)
	return s.progress(ctx, req.GetId(), d)
}

// GetDrain says how an agent's drain stands.
func (s *Services) GetDrain(ctx context.Context, req *civ1.GetDrainRequest) (*civ1.Drain, error) {
	agent, err := s.Store.GetAgent(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	if agent.Leaving != nil {
		return s.progress(ctx, agent.ID, *agent.Leaving)
	}
	d, err := s.Store.GetDrain(ctx, agent.ID)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, ci.Errorf(ci.CodeNotFound, "agent %s is not drained", agent.ID)
	}
	return s.progress(ctx, agent.ID, *d)
}

// progress adds what the agent still holds. The database knows it best: what
// is not there can't be claimed any more.
func (s *Services) progress(ctx context.Context, agent string, d ci.Drain) (*civ1.Drain, error) {
	held, err := s.Store.HeldRuns(ctx, agent, maxHeld)
	if err != nil {
		return nil, err
	}
	for i := range held {
		d.Runs = append(d.Runs, held[i].ID)
	}
	out := convert.ToDrain(&d)
	if p, _ := auth.FromContext(ctx); p.Limited() {
		out.Runs = nil // which they are; whether any is left stays
	}
	return out, nil
}

// maxHeld is more than any agent holds.
const maxHeld = 10_000

// UndrainAgent lets an agent take runs again.
func (s *Services) UndrainAgent(ctx context.Context, req *civ1.UndrainAgentRequest) (*emptypb.Empty, error) {
	agent, err := s.Store.GetAgent(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	if err := s.Store.SetDrain(ctx, req.GetId(), nil); err != nil {
		return nil, err
	}
	s.tellAgents(ctx)
	if agent.Leaving != nil {
		return nil, ci.Errorf(ci.CodeConflict, "agent %s is ending (%s): its process was told so, which can't be taken back; start it again. An order to drain it is taken back", agent.ID, agent.Leaving.By)
	}
	p, _ := auth.FromContext(ctx)
	s.Log.Info("agent takes runs again", "agent", agent.ID, "by", p.Name)
	return new(emptypb.Empty), nil
}

// tellAgents makes agents look at once. Their next heartbeat would tell them too.
func (s *Services) tellAgents(ctx context.Context) {
	if err := s.Bus.Publish(ctx, "agents", nil); err != nil {
		s.Log.Debug("bus: agents not told", "err", err)
	}
}

// ListQueues lists the lanes and how many runs wait in each.
func (s *Services) ListQueues(ctx context.Context, _ *civ1.ListQueuesRequest) (*civ1.ListQueuesResponse, error) {
	depths, err := s.Store.QueueDepths(ctx)
	if err != nil {
		return nil, err
	}
	config, err := s.Store.GetConfig(ctx)
	if err != nil {
		return nil, err
	}
	out := new(civ1.ListQueuesResponse)
	for _, d := range everyLane(config, depths) {
		out.Queues = append(out.Queues, convert.ToQueue(&d))
	}
	return out, nil
}

// everyLane puts the depths into the configured order, with those lanes in
// which nothing waits, and those of classes that are configured no more last.
func everyLane(config *ci.Config, depths []ci.QueueDepth) []ci.QueueDepth {
	byLane := map[ci.Lane]ci.QueueDepth{}
	for _, d := range depths {
		byLane[d.Lane] = d
	}
	var out []ci.QueueDepth
	for _, class := range config.Classes {
		for _, p := range ci.Priorities {
			lane := ci.Lane{Class: class.Name, Priority: p}
			d := byLane[lane]
			d.Lane = lane
			out = append(out, d)
			delete(byLane, lane)
		}
	}
	for _, d := range depths {
		if _, left := byLane[d.Lane]; left {
			out = append(out, d)
		}
	}
	return out
}
