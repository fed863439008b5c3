package mask

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

// Veil is a log's handler that masks what every run in hand wants masked,
// whoever writes to the log.
type Veil struct {
	slog.Handler
	live *live
}

// live are the masks of the runs in hand.
type live struct {
	mu    sync.RWMutex
	masks []*Mask
}

// NewVeil puts a veil before a handler.
func NewVeil(h slog.Handler) *Veil { return &Veil{Handler: h, live: new(live)} }

// Add masks with m from now on, until the function it returns is called. A nil Veil or Mask does nothing.
func (v *Veil) Add(m *Mask) (remove func()) {
	if v == nil || m == nil {
		return func() {}
	}
	l := v.live
	l.mu.Lock()
	defer l.mu.Unlock()
	l.masks = append(l.masks, m)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(l.masks, m); i >= 0 {
			l.masks = slices.Delete(l.masks, i, i+1)
		}
	}
}

// Handle implements slog.Handler.
func (v *Veil) Handle(ctx context.Context, r slog.Record) error {
	v.live.mu.RLock()
	masks := slices.Clone(v.live.masks)
	v.live.mu.RUnlock()
	if len(masks) == 0 {
		return v.Handler.Handle(ctx, r)
	}
	veiled := slog.NewRecord(r.Time, r.Level, apply(masks, r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		veiled.AddAttrs(veil(masks, a))
		return true
	})
	return v.Handler.Handle(ctx, veiled)
}

// WithAttrs implements slog.Handler. What is fixed here is known before a run's secrets are.
func (v *Veil) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Veil{Handler: v.Handler.WithAttrs(attrs), live: v.live}
}

// WithGroup implements slog.Handler.
func (v *Veil) WithGroup(name string) slog.Handler {
	return &Veil{Handler: v.Handler.WithGroup(name), live: v.live}
}

func apply(masks []*Mask, s string) string {
	for _, m := range masks {
		s = m.String(s)
	}
	return s
}

func veil(masks []*Mask, a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, apply(masks, value.String()))
	case slog.KindGroup:
		group := slices.Clone(value.Group())
		for i := range group {
			group[i] = veil(masks, group[i])
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(group...)}
	case slog.KindAny:
		text := fmt.Sprint(value.Any())
		if masked := apply(masks, text); masked != text {
			return slog.String(a.Key, masked)
		}
	}
	return a
}
