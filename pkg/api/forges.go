package api

import (
	"context"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// PutForge creates or replaces a forge; a key that is empty stays as it is
// stored. ifVersion replaces only that version (else ci.CodeStale); 0 any.
func (c *Client) PutForge(ctx context.Context, a ci.ForgeAccess, ifVersion int64) (f ci.Forge, created bool, err error) {
	req := &civ1.PutForgeRequest{Name: a.Name, Forge: convert.ToForgeAccess(&a)}
	if ifVersion > 0 {
		req.IfMatch = versionTag(ifVersion)
	}
	m, err := call(ctx, c, c.forges.PutForge, req)
	if err != nil {
		return f, false, err
	}
	return convert.FromForge(m.GetForge()), m.GetCreated(), nil
}

// ListForges returns all forges by name, without what opens them.
func (c *Client) ListForges(ctx context.Context) ([]ci.Forge, error) {
	m, err := call(ctx, c, c.forges.ListForges, new(civ1.ListForgesRequest))
	var list []ci.Forge
	for _, f := range m.GetForges() {
		list = append(list, convert.FromForge(f))
	}
	return list, err
}

// DeleteForge deletes a forge; one that a trigger names is ci.CodeConflict.
func (c *Client) DeleteForge(ctx context.Context, name string) error {
	_, err := once(ctx, c, c.forges.DeleteForge, &civ1.DeleteForgeRequest{Name: name})
	return err
}

// PutEventTrigger creates or replaces an event trigger, and returns it as it
// is stored. ifVersion replaces only that version (else ci.CodeStale); 0 any.
func (c *Client) PutEventTrigger(ctx context.Context, t ci.EventTrigger, ifVersion int64) (stored ci.EventTrigger, created bool, err error) {
	req := &civ1.PutEventTriggerRequest{Name: t.Name, Trigger: convert.ToEventTrigger(&t)}
	if ifVersion > 0 {
		req.IfMatch = versionTag(ifVersion)
	}
	m, err := call(ctx, c, c.forges.PutEventTrigger, req)
	if err != nil {
		return t, false, err
	}
	return convert.FromEventTrigger(m.GetTrigger()), m.GetCreated(), nil
}

// GetEventTrigger returns an event trigger.
func (c *Client) GetEventTrigger(ctx context.Context, name string) (ci.EventTrigger, error) {
	m, err := call(ctx, c, c.forges.GetEventTrigger, &civ1.GetEventTriggerRequest{Name: name})
	if err != nil {
		return ci.EventTrigger{}, err
	}
	return convert.FromEventTrigger(m), nil
}

// ListEventTriggers returns one page of event triggers by name, and the next
// page's token. job "" is all.
func (c *Client) ListEventTriggers(ctx context.Context, job string, size int, page string) ([]ci.EventTrigger, string, error) {
	m, err := call(ctx, c, c.forges.ListEventTriggers, &civ1.ListEventTriggersRequest{Job: job, PageSize: uint32(size), PageToken: page})
	var list []ci.EventTrigger
	for _, t := range m.GetTriggers() {
		list = append(list, convert.FromEventTrigger(t))
	}
	return list, m.GetNextPageToken(), err
}

// DeleteEventTrigger deletes an event trigger; its runs stay.
func (c *Client) DeleteEventTrigger(ctx context.Context, name string) error {
	_, err := once(ctx, c, c.forges.DeleteEventTrigger, &civ1.DeleteEventTriggerRequest{Name: name})
	return err
}

// ListWebhooks returns one page of what forges have delivered, newest first,
// and the next page's token. forge "" is all.
func (c *Client) ListWebhooks(ctx context.Context, forge string, size int, page string) ([]ci.Webhook, string, error) {
	m, err := call(ctx, c, c.forges.ListWebhooks, &civ1.ListWebhooksRequest{Forge: forge, PageSize: uint32(size), PageToken: page})
	var list []ci.Webhook
	for _, w := range m.GetDeliveries() {
		list = append(list, convert.FromWebhook(w))
	}
	return list, m.GetNextPageToken(), err
}
