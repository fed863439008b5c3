// Package gh joins forges with the backend: webhooks in, checks out. It knows
// jobs and runs by their words alone; what it needs of a backend it declares.
package gh

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ci/gh/app"
	"ci/gh/checks"
	"ci/gh/webhook"
	"ci/pkg/ci"
)

// Config is what a GH needs. Every field is required but those that say otherwise.
type Config struct {
	// Records is what the backend remembers of forges, and what moves runs.
	Records webhook.Records
	// Outbox is what forges are still to be told, and Runs what it is about.
	Outbox checks.Outbox
	Runs   checks.Runs
	// Apps calls forges.
	Apps *app.Apps
	// URL is where people reach us, for links.
	URL string
	Log *slog.Logger
	// Reconcile is the time between two looks for missed deliveries; 0 is the default.
	Reconcile time.Duration
	// Traced makes spans of the requests to a handler. Default: none are made.
	Traced func(http.Handler) http.Handler
	// Trace says where a request is in a distributed trace, nil for nowhere. Default: requests are nowhere.
	Trace func(ctx context.Context) (place *ci.Trace, came bool)
}

// GH is the module of forges that cid mounts.
type GH struct {
	hooks  http.Handler
	inbox  *webhook.Inbox
	checks *checks.Checks
}

// New checks the configuration.
func New(c Config) (*GH, error) {
	if c.Records == nil || c.Apps == nil || c.Log == nil {
		return nil, errors.New("gh: Records, Apps and Log are required")
	}
	told, err := checks.New(checks.Config{Apps: c.Apps, Outbox: c.Outbox, Runs: c.Runs, URL: c.URL, Log: c.Log})
	if err != nil {
		return nil, err
	}
	inbox := webhook.New(webhook.Config{Records: c.Records, Clients: c.Apps, Log: c.Log, Reconcile: c.Reconcile, Trace: c.Trace})
	g := &GH{hooks: inbox, inbox: inbox, checks: told}
	if c.Traced != nil {
		g.hooks = c.Traced(inbox)
	}
	return g, nil
}

// Handler serves what forges call, and passes all else on to next.
func (g *GH) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, webhook.Prefix) {
			r.Pattern = webhook.Prefix + "{forge}" // as a ServeMux does, for the names of spans
			g.hooks.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Run works deliveries off, and tells forges of runs, until ctx ends.
func (g *GH) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.inbox.Run(ctx) })
	group.Go(func() error { return g.checks.Run(ctx) })
	return group.Wait()
}
