package rest

import (
	"context"
	"maps"
	"slices"

	"ci/pkg/ci"
)

// fakeForges keeps forges in memory.
type fakeForges struct{ *world }

func (w fakeForges) Put(_ context.Context, a ci.ForgeAccess, ifVersion int64) (ci.Forge, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, there := w.forges[a.Name]
	if there && a.WebhookSecret == "" {
		a.ForgeKeys = old.ForgeKeys
	}
	if err := a.Validate(); err != nil {
		return a.Forge, false, err
	}
	if ifVersion > 0 && old.Version != ifVersion {
		return a.Forge, false, ci.Errorf(ci.CodeStale, "forge %q is not at version %d", a.Name, ifVersion)
	}
	a.CreatedAt, a.UpdatedAt, a.Version = w.Now(), w.Now(), old.Version+1
	if there {
		a.CreatedAt = old.CreatedAt
	}
	w.forges[a.Name] = a
	return a.Forge, !there, w.fail
}

func (w fakeForges) Get(_ context.Context, name string) (*ci.Forge, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.forges[name]
	if !ok {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no forge %q", name)
	}
	return &a.Forge, w.fail
}

func (w fakeForges) List(context.Context) ([]ci.Forge, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []ci.Forge
	for _, name := range slices.Sorted(maps.Keys(w.forges)) {
		list = append(list, w.forges[name].Forge)
	}
	return list, w.fail
}

func (w fakeForges) Delete(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.forges[name]; !ok {
		return ci.Errorf(ci.CodeNotFound, "there is no forge %q", name)
	}
	delete(w.forges, name)
	return w.fail
}

// fakeEventTriggers keeps event triggers in memory.
type fakeEventTriggers struct{ *world }

func (w fakeEventTriggers) PutEventTrigger(_ context.Context, t *ci.EventTrigger, ifVersion int64) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, there := w.eventTriggers[t.Name]
	if ifVersion > 0 && old.Version != ifVersion {
		return false, ci.Errorf(ci.CodeStale, "trigger %q is not at version %d", t.Name, ifVersion)
	}
	if _, ok := w.forges[t.Forge]; !ok {
		return false, ci.Errorf(ci.CodeConflict, "trigger %s names forge %q, and there is none", t.Name, t.Forge)
	}
	if _, ok := w.jobs[t.Job]; !ok {
		return false, ci.Errorf(ci.CodeConflict, "trigger %s names job %q, and there is none", t.Name, t.Job)
	}
	t.CreatedAt, t.UpdatedAt, t.Version = w.Now(), w.Now(), old.Version+1
	if there {
		t.CreatedAt = old.CreatedAt
	}
	w.eventTriggers[t.Name] = *t
	return !there, w.fail
}

func (w fakeEventTriggers) GetEventTrigger(_ context.Context, name string) (*ci.EventTrigger, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.eventTriggers[name]
	if !ok {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no trigger %q", name)
	}
	return &t, w.fail
}

func (w fakeEventTriggers) ListEventTriggers(_ context.Context, after string, limit int) ([]ci.EventTrigger, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []ci.EventTrigger
	for _, name := range slices.Sorted(maps.Keys(w.eventTriggers)) {
		if name > after && len(list) < limit {
			list = append(list, w.eventTriggers[name])
		}
	}
	return list, w.fail
}

func (w fakeEventTriggers) DeleteEventTrigger(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.eventTriggers[name]; !ok {
		return ci.Errorf(ci.CodeNotFound, "there is no trigger %q", name)
	}
	delete(w.eventTriggers, name)
	return w.fail
}

func (w fakeEventTriggers) ListWebhooks(_ context.Context, forge string, before int64, limit int) ([]ci.Webhook, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []ci.Webhook
	for _, h := range slices.Backward(w.webhooks) {
		if (forge == "" || forge == h.Forge) && (before == 0 || h.Seq < before) && len(list) < limit {
			list = append(list, h)
		}
	}
	return list, w.fail
}
