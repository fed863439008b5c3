package api

import (
	"context"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// PlanRetention returns what would go now, and removes nothing. config is asked
// about instead of the present configuration, unless it is nil; job limits the
// answer to one job, "" is all; limit is how many items to list.
func (c *Client) PlanRetention(ctx context.Context, config *ci.Config, job string, limit int) (*ci.RetentionPlan, error) {
	req := &civ1.PlanRetentionRequest{Job: job, Limit: uint32(limit)}
	if config != nil {
		req.Config = convert.ToConfig(config)
	}
	m, err := call(ctx, c, c.retention.PlanRetention, req)
	if err != nil {
		return nil, err
	}
	return convert.FromRetentionPlan(m), nil
}

// PutPin keeps a run, and all that it has, whatever the limits say, until p.Until.
func (c *Client) PutPin(ctx context.Context, run ci.RunRef, p ci.Pin) (ci.Pin, error) {
	m, err := call(ctx, c, c.retention.PutPin, &civ1.PutPinRequest{Name: run.Job, Id: uint32(run.Run), Key: p.Name, Pin: convert.ToPin(&p)})
	if err != nil {
		return ci.Pin{}, err
	}
	return convert.FromPin(m), nil
}

// DeletePin takes a pin away. One that is not there is fine.
func (c *Client) DeletePin(ctx context.Context, run ci.RunRef, name string) error {
	_, err := call(ctx, c, c.retention.DeletePin, &civ1.DeletePinRequest{Name: run.Job, Id: uint32(run.Run), Key: name})
	return err
}

// ListPins returns the pins of a run, by name.
func (c *Client) ListPins(ctx context.Context, run ci.RunRef) ([]ci.Pin, error) {
	m, err := call(ctx, c, c.retention.ListPins, &civ1.ListPinsRequest{Name: run.Job, Id: uint32(run.Run)})
	if err != nil {
		return nil, err
	}
	var list []ci.Pin
	for _, p := range m.GetPins() {
		list = append(list, convert.FromPin(p))
	}
	return list, nil
}
