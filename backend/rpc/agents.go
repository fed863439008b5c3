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
	d := convert.FromDrain(req.GetDrain())
	d.Since = s.Store.Now()
	if len(d.Reason) > ci.MaxDescription {
		return nil, wrong("the drain", "reason", "has %d bytes; at most %d are allowed", len(d.Reason), ci.MaxDescription)
	}
	if err := s.Store.SetDrain(ctx, req.GetId(), &d); err != nil {
		return nil, err
	}
	s.tellAgents(ctx)
	return convert.ToDrain(&d), nil
}

// UndrainAgent lets an agent take runs again.
func (s *Services) UndrainAgent(ctx context.Context, req *civ1.UndrainAgentRequest) (*emptypb.Empty, error) {
	if _, err := s.Store.GetAgent(ctx, req.GetId()); err != nil {
		return nil, err
	}
	if err := s.Store.SetDrain(ctx, req.GetId(), nil); err != nil {
		return nil, err
	}
	s.tellAgents(ctx)
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
