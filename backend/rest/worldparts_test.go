package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"time"

	"ci/pkg/ci"
)

// Results, consoles.

func (w *world) ListResults(_ context.Context, run int64) ([]ci.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.results[run]), nil
}

func (w *world) GetResult(_ context.Context, run int64, name string) (*ci.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.results[run] {
		if r.Name == name {
			return &r, nil
		}
	}
	return nil, ci.Errorf(ci.CodeNotFound, "run %d has no result %s", run, name)
}

func (w *world) JobResults(_ context.Context, job string, _ int) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for id, rs := range w.results {
		for _, r := range rs {
			if w.runs[id-1].Job == job && !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			}
		}
	}
	sort.Strings(names)
	return names, nil
}

func (w *world) putResult(run int64, name, filename, contentType string, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sum := sha256.Sum256(data)
	w.results[run] = append(w.results[run], ci.Result{
		Run: run, Name: name, ContentType: contentType, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]),
		Filename: filename, Files: 1, CreatedAt: w.Now(),
	})
	w.blobs[fmt.Sprintf("runs/%d/results/%s", run, name)] = data
}

func (w *world) Get(_ context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, ok := w.blobs[key]
	if !ok {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no object %s", key)
	}
	b = b[offset:]
	if length >= 0 {
		b = b[:min(length, int64(len(b)))]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (w *world) say(run int64, text string) {
	w.mu.Lock()
	w.console[run] = append(w.console[run], text...)
	end := len(w.console[run])
	w.mu.Unlock()
	_ = w.Publish(context.Background(), fmt.Sprintf("console.%d", run), fmt.Append(nil, end))
}

func (w *world) Reader(_ context.Context, run, from, to int64) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(run)
	b := w.console[run]
	if to < 0 || to > int64(len(b)) {
		to = int64(len(b))
	}
	return io.NopCloser(bytes.NewReader(b[min(from, to):to])), nil
}

// forget removes a console where the world has it go; mu is held.
func (w *world) forget(run int64) {
	if i := slices.IndexFunc(w.runs, func(r ci.Run) bool { return r.ID == run }); w.goes && i >= 0 {
		delete(w.console, run)
		w.runs[i].ConsoleExpiredAt = w.Now()
	}
}

// Times has a part of every four bytes, a second each.
func (w *world) Times(_ context.Context, run, from int64, limit int) ([]ci.ConsoleTime, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(run)
	var out []ci.ConsoleTime
	for at := from / 4 * 4; at < int64(len(w.console[run])) && len(out) < limit; at += 4 {
		out = append(out, ci.ConsoleTime{Offset: at, Length: 4, At: time.Date(2026, 3, 1, 12, 0, int(at/4), 0, time.UTC)})
	}
	return out, nil
}

func (w *world) End(_ context.Context, run int64) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(len(w.console[run])), nil
}

// Events and the bus.

func (w *world) Events(_ context.Context, after int64, limit int, job string, jobs []string) ([]ci.Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []ci.Event
	for _, e := range w.events {
		if e.Seq > after && (job == "" || e.Job == job) && (jobs == nil || slices.Contains(jobs, e.Job)) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (w *world) LastEvent(context.Context) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(len(w.events)), nil
}

func (w *world) Publish(_ context.Context, topic string, data []byte) error {
	w.mu.Lock()
	var fns []func(string, []byte)
	for _, s := range w.subs {
		if s.topic == topic {
			fns = append(fns, s.fn)
		}
	}
	w.mu.Unlock()
	for _, fn := range fns {
		fn(topic, data)
	}
	return nil
}

func (w *world) Subscribe(topic string, fn func(string, []byte)) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deaf {
		return nil, ci.Errorf(ci.CodeUnavailable, "the bus is away")
	}
	id := w.nextSub
	w.nextSub++
	w.subs[id] = sub{topic, fn}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.subs, id)
	}, nil
}

// Agents, configuration, tokens.

func (w *world) ListAgents(context.Context) ([]ci.Agent, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.agents)), nil
}

func (w *world) GetAgent(_ context.Context, id string) (*ci.Agent, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.agents[id]
	if !ok {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no agent %s", id)
	}
	return &a, nil
}

func (w *world) SetDrain(_ context.Context, agent string, d *ci.Drain) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d == nil {
		delete(w.drains, agent)
		return nil
	}
	w.drains[agent] = *d
	return nil
}

func (w *world) GetDrain(_ context.Context, agent string) (*ci.Drain, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d, ok := w.drains[agent]; ok {
		return &d, nil
	}
	return nil, nil
}

func (w *world) HeldRuns(_ context.Context, agent string, _ int) (held []ci.Run, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.runs {
		if r.Agent == agent && !r.Done() {
			held = append(held, r)
		}
	}
	return held, nil
}

func (w *world) GetConfig(context.Context) (*ci.Config, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.config
	return &c, w.fail
}

func (w *world) PutConfig(_ context.Context, c *ci.Config, ifVersion int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ifVersion != 0 && ifVersion != w.config.Version {
		return ci.Errorf(ci.CodeStale, "the configuration is at version %d", w.config.Version)
	}
	c.Version = w.config.Version + 1
	w.config = *c
	return nil
}

func (w *world) GetToken(_ context.Context, id string) (*ci.Token, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.tokens[id]
	if !ok {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no token %s", id)
	}
	return &t, nil
}

func (w *world) PutToken(_ context.Context, t *ci.Token) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens[t.ID] = *t
	return nil
}

func (w *world) RunToken(_ context.Context, run int64) (*ci.RunToken, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.runTokens[run]
	if !ok {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no token of run %d", run)
	}
	return &t, nil
}

// runToken makes the token of a run, whatever has become of the run.
func (w *world) runToken(job string, run int64, triggers ...string) (bearer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	bearer, hash := ci.NewRunToken(run)
	w.runTokens[run] = ci.RunToken{Run: ci.RunRef{Job: job, Run: run}, Hash: hash, Triggers: triggers, ExpiresAt: time.Now().Add(time.Hour)}
	return bearer
}

func (w *world) ListTokens(_ context.Context, after string, limit int) ([]ci.Token, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []ci.Token
	for _, id := range slices.Sorted(maps.Keys(w.tokens)) {
		if id > after && len(out) < limit {
			out = append(out, w.tokens[id])
		}
	}
	return out, nil
}

func (w *world) RevokeToken(_ context.Context, id string, at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.tokens[id]
	if !ok {
		return ci.Errorf(ci.CodeNotFound, "there is no token %s", id)
	}
	t.RevokedAt = at
	w.tokens[id] = t
	return nil
}
