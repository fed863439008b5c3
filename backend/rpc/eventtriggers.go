package rpc

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// EventTriggers keeps event triggers and knows what came to them: backend/store, where
// each writing method is a transaction of its own.
type EventTriggers interface {
	PutEventTrigger(ctx context.Context, t *ci.EventTrigger, ifVersion int64) (created bool, err error)
	GetEventTrigger(ctx context.Context, name string) (*ci.EventTrigger, error)
	ListEventTriggers(ctx context.Context, after string, limit int) ([]ci.EventTrigger, error)
	DeleteEventTrigger(ctx context.Context, name string) error
	ListWebhooks(ctx context.Context, forge string, before int64, limit int) ([]ci.Webhook, error)
}

// PutEventTrigger creates or replaces an event trigger.
func (s *Services) PutEventTrigger(ctx context.Context, req *civ1.PutEventTriggerRequest) (*civ1.PutEventTriggerResponse, error) {
	t := convert.FromEventTrigger(orEmpty(req.GetTrigger()))
	if t.Name == "" {
		t.Name = req.GetName()
	}
	if t.Name != req.GetName() {
		return nil, wrong("the trigger", "name", "%q is not the name in the path, %q; a trigger can't be renamed", t.Name, req.GetName())
	}
	t.Defaults()
	if err := s.checkEventTrigger(ctx, &t); err != nil {
		return nil, err
	}
	if err := unlimited(ctx); err != nil {
		return nil, err
	}
	version, err := versionOf(req.GetIfMatch(), "trigger "+t.Name, func() (string, int64, error) {
		old, err := s.EventTriggers.GetEventTrigger(ctx, t.Name)
		if err != nil {
			return "", 0, err
		}
		return versionTag(old.Version, old.CreatedAt), old.Version, nil
	})
	if err != nil {
		return nil, err
	}
	created, err := s.EventTriggers.PutEventTrigger(ctx, &t, version)
	if err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	s.Log.Info("event trigger set", "trigger", t.Name, "repo", t.Repository, "job", t.Job, "created", created, "by", p.Name)
	return &civ1.PutEventTriggerResponse{Trigger: convert.ToEventTrigger(&t), Created: created}, nil
}

// unlimited refuses tokens that are limited to some jobs. A trigger opens a
// repository to its job by the rights that the server has at the forge, which
// such a token's owner was never shown.
func unlimited(ctx context.Context) error {
	if p, _ := auth.FromContext(ctx); p.Limited() {
		return ci.Errorf(ci.CodeForbidden, "the token %s is limited to some jobs, and may not make event triggers: they use the rights of the whole server at the forge; ask whoever manages the server", p.Name)
	}
	return nil
}

// checkEventTrigger refuses a trigger that could never start a run.
func (s *Services) checkEventTrigger(ctx context.Context, t *ci.EventTrigger) error {
	if err := t.Validate(); err != nil {
		return err
	}
	for list, globs := range map[string][]string{"branches": t.Branches, "tags": t.Tags, "paths": t.Paths} {
		for i, g := range globs {
			if !doublestar.ValidatePattern(strings.TrimPrefix(g, "!")) {
				return wrong("the trigger", fmt.Sprintf("%s[%d]", list, i), "%q is no glob: `*` within a part, `**` over parts, `?`, `[a-z]` and `{one,two}`", g)
			}
		}
	}
	job, err := s.Store.GetJob(ctx, t.Job)
	if ci.CodeOf(err) == ci.CodeNotFound {
		return nil // the store says so in the transaction
	}
	if err != nil {
		return err
	}
	_, err = job.Values(t.Parameters)
	return err
}

// GetEventTrigger returns one event trigger.
func (s *Services) GetEventTrigger(ctx context.Context, req *civ1.GetEventTriggerRequest) (*civ1.EventTrigger, error) {
	t, err := s.EventTriggers.GetEventTrigger(ctx, req.GetName())
	if p, _ := auth.FromContext(ctx); err == nil && !p.Sees(t.Job) {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no trigger %q", req.GetName())
	}
	if err != nil {
		return nil, err
	}
	return convert.ToEventTrigger(t), nil
}

// ListEventTriggers returns one page of the event triggers whose jobs the caller may see.
func (s *Services) ListEventTriggers(ctx context.Context, req *civ1.ListEventTriggersRequest) (*civ1.ListEventTriggersResponse, error) {
	pg, err := newPage("triggers", req.GetPageSize(), req.GetPageToken(), req.GetJob())
	if err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	var seen []ci.EventTrigger
	for after := pg.after; len(seen) <= pg.size; {
		list, err := s.EventTriggers.ListEventTriggers(ctx, after, MaxPage)
		if err != nil {
			return nil, err
		}
		for _, t := range list {
			if p.Sees(t.Job) && (req.GetJob() == "" || req.GetJob() == t.Job) {
				seen = append(seen, t)
			}
		}
		if len(list) < MaxPage {
			break
		}
		after = list[len(list)-1].Name
	}
	seen = seen[:min(len(seen), pg.size+1)]
	seen, next := cut(pg, seen, func(t *ci.EventTrigger) string { return t.Name })
	return &civ1.ListEventTriggersResponse{Triggers: convert.ToEventTriggers(seen), NextPageToken: next}, nil
}

// DeleteEventTrigger deletes an event trigger.
func (s *Services) DeleteEventTrigger(ctx context.Context, req *civ1.DeleteEventTriggerRequest) (*emptypb.Empty, error) {
	p, _ := auth.FromContext(ctx)
	t, err := s.EventTriggers.GetEventTrigger(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if !p.Sees(t.Job) {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no trigger %q", req.GetName())
	}
	if err := s.EventTriggers.DeleteEventTrigger(ctx, req.GetName()); err != nil {
		return nil, err
	}
	s.Log.Info("event trigger deleted", "trigger", req.GetName(), "by", p.Name)
	return new(emptypb.Empty), nil
}

// ListWebhooks returns one page of the deliveries, newest first. Who may know of
// some jobs only sees of each page the deliveries that started runs of these.
func (s *Services) ListWebhooks(ctx context.Context, req *civ1.ListWebhooksRequest) (*civ1.ListWebhooksResponse, error) {
	pg, err := newPage("deliveries", req.GetPageSize(), req.GetPageToken(), req.GetForge())
	if err != nil {
		return nil, err
	}
	before := int64(0)
	if pg.after != "" {
		if before, err = strconv.ParseInt(pg.after, 10, 64); err != nil {
			return nil, wrong("the request", "pageToken", "is not a nextPageToken of this list")
		}
	}
	list, err := s.EventTriggers.ListWebhooks(ctx, req.GetForge(), before, pg.size+1)
	if err != nil {
		return nil, err
	}
	list, next := cut(pg, list, func(w *ci.Webhook) string { return strconv.FormatInt(w.Seq, 10) })
	if p, _ := auth.FromContext(ctx); p.Limited() {
		list = slices.DeleteFunc(list, func(w ci.Webhook) bool {
			return len(w.Runs) == 0 || slices.ContainsFunc(w.Runs, func(r ci.RunRef) bool { return !p.Sees(r.Job) })
		})
	}
	return &civ1.ListWebhooksResponse{Deliveries: convert.ToWebhooks(list), NextPageToken: next}, nil
}
