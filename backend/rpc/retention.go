package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

const (
	planItems    = 100
	maxPlanItems = 10_000
)

// PlanRetention says what would go now, and removes nothing.
func (s *Services) PlanRetention(ctx context.Context, req *civ1.PlanRetentionRequest) (*civ1.RetentionPlan, error) {
	if p, _ := auth.FromContext(ctx); p.Limited() && req.GetJob() == "" {
		return nil, wrong("the request", "job", "is missing; the token %s is limited to some jobs, and may not see what goes of all: name one of its jobs", p.Name)
	}
	var config *ci.Config
	if m := req.GetConfig(); m != nil {
		if err := wholeBytes(m); err != nil {
			return nil, err
		}
		config = convert.FromConfig(m)
		if err := config.Validate(); err != nil {
			return nil, err
		}
	}
	limit := int(req.GetLimit())
	switch {
	case limit > maxPlanItems:
		return nil, wrong("the request", "limit", "is more than %d", maxPlanItems)
	case limit == 0:
		limit = planItems
	}
	plan, err := s.Engine.PlanRetention(ctx, config, req.GetJob(), limit)
	if err != nil {
		return nil, err
	}
	return convert.ToRetentionPlan(plan), nil
}

// PutPin pins a run. A caller that may only trigger replaces its own pins alone.
func (s *Services) PutPin(ctx context.Context, req *civ1.PutPinRequest) (*civ1.Pin, error) {
	p, _ := auth.FromContext(ctx)
	pin := convert.FromPin(orEmpty(req.GetPin()))
	pin.Name, pin.By = req.GetKey(), p.Name
	now := s.Store.Now()
	if err := pin.Validate(now); err != nil {
		return nil, err
	}
	if p.Role == ci.RoleTrigger && pin.Until.Sub(now) > ci.MaxTriggerPinFor {
		return nil, wrong("the pin", "until", "is more than %d days ahead, which a token of role %s may not ask for", int(ci.MaxTriggerPinFor.Hours()/24), p.Role)
	}
	if err := s.Store.PutPin(ctx, req.GetName(), int64(req.GetId()), pin, auth.MayUnpin(p), now); err != nil {
		return nil, err
	}
	return convert.ToPin(&pin), nil
}

// DeletePin takes a pin away: to a caller that may only trigger, its own.
func (s *Services) DeletePin(ctx context.Context, req *civ1.DeletePinRequest) (*emptypb.Empty, error) {
	p, _ := auth.FromContext(ctx)
	run, err := s.Store.GetRun(ctx, req.GetName(), int64(req.GetId()))
	if err != nil {
		return nil, err
	}
	return new(emptypb.Empty), s.Store.DeletePin(ctx, run.ID, req.GetKey(), auth.MayUnpin(p))
}

// ListPins lists the pins of a run that hold.
func (s *Services) ListPins(ctx context.Context, req *civ1.ListPinsRequest) (*civ1.ListPinsResponse, error) {
	run, err := s.Store.GetRun(ctx, req.GetName(), int64(req.GetId()))
	if err != nil {
		return nil, err
	}
	pins, err := s.Store.ListPins(ctx, run.ID, s.Store.Now())
	return &civ1.ListPinsResponse{Pins: convert.ToPins(pins)}, err
}
