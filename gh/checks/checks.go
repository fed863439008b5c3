// Package checks tells forges what became of runs: on GitHub one check run for
// each, elsewhere, and where the App is not installed, a commit status. It works
// off the backend's outbox: whatever a run is when the forge can be reached is
// told, each state once, in order, and again until it was heard.
package checks

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"ci/gh/app"
	"ci/pkg/ci"
)

// Outbox is what is still to be told. Any number of workers, in any number of
// processes, share one.
type Outbox interface {
	// ClaimChecks gives up to limit checks that are due to holder for lease.
	// Those of forges in skip are left out.
	ClaimChecks(ctx context.Context, holder string, limit int, skip []string, lease time.Duration) ([]ci.Check, error)
	// KeepCheck begins holder's lease anew; false says that it was lost.
	KeepCheck(ctx context.Context, id int64, holder string, lease time.Duration) (bool, error)
	// CheckTold notes what the forge has heard, and lets go.
	CheckTold(ctx context.Context, n ci.CheckNews) error
	// PostponeCheck lets go for a while. refused says that the forge will not have it.
	PostponeCheck(ctx context.Context, id int64, holder string, wait time.Duration, refused bool) error
	// DropCheck gives up.
	DropCheck(ctx context.Context, id int64, holder string) error
	// WatchChecks returns a channel on which something comes when runs have
	// moved, until ctx ends. Some moves may be missed.
	WatchChecks(ctx context.Context) (<-chan struct{}, error)
}

// Runs is what is told of.
type Runs interface {
	// Run returns the run; ci.CodeNotFound when it is there no more.
	Run(ctx context.Context, id int64) (*ci.Run, error)
	// Results returns which results the run has stored.
	Results(ctx context.Context, run int64) ([]ci.Result, error)
	// ReadResult returns a result's bytes.
	ReadResult(ctx context.Context, run int64, name string) ([]byte, error)
	// ConsoleTail returns the last bytes of the run's console, most at the most.
	ConsoleTail(ctx context.Context, run, most int64) ([]byte, error)
}

// Config is what Checks needs; Log may be nil.
type Config struct {
	Apps   *app.Apps
	Outbox Outbox
	Runs   Runs
	// URL is where people reach us; runs' addresses begin with it.
	URL string
	Log *slog.Logger
}

// Checks tells forges of runs.
type Checks struct {
	Config
	holder string

	mu    sync.Mutex
	pause map[string]pause     // by forge
	heard map[string]time.Time // when each forge last took a check
}

// pause is how long a forge that is away is left alone.
type pause struct {
	until time.Time
	step  time.Duration
}

// New makes a Checks.
func New(c Config) (*Checks, error) {
	if c.Apps == nil || c.Outbox == nil || c.Runs == nil {
		return nil, errors.New("checks: Apps, Outbox and Runs are required")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Checks{Config: c, holder: uuid.NewString(), pause: map[string]pause{}, heard: map[string]time.Time{}}, nil
}

const (
	// workers is how many checks one process tells at once.
	workers = 4
	// lease is how long a check is kept from others without a sign of life. A
	// request ends sooner.
	lease = time.Minute
	// look is how often the outbox is looked at without a message, which may be lost.
	look = 2 * time.Second
	// gather is the shortest time between two looks.
	gather = 100 * time.Millisecond
	// A forge that can't be reached is tried again after a pause that doubles
	// from the first to the longest.
	firstPause, longestPause = time.Second, 5 * time.Second
	// justNow is how long a forge that has taken a check is believed to be there.
	justNow = 5 * time.Second
)

// Run works until ctx ends, and then finishes what is in hand.
func (c *Checks) Run(ctx context.Context) error {
	moved, err := c.Outbox.WatchChecks(ctx)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	free, done := make(chan struct{}, workers), make(chan struct{}, 1)
	for range workers {
		free <- struct{}{}
	}
	for {
		began, err := c.begin(ctx, free, func(check ci.Check) {
			wait.Go(func() {
				c.work(ctx, check)
				free <- struct{}{}
				wake(done)
			})
		})
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("checks: the outbox can't be read; trying again", "err", err)
		}
		if began == workers {
			continue // there may be more
		}
		if !rest(ctx, moved, done) {
			return nil
		}
	}
}

// rest waits until there may be something to do; false says that ctx has ended.
func rest(ctx context.Context, moved, done <-chan struct{}) bool {
	select {
	case <-moved:
	case <-done:
	case <-time.After(look):
	case <-ctx.Done():
	}
	// In a large fleet something moves all the time: a look serves for what comes together.
	select {
	case <-time.After(gather):
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// begin claims as many checks as there are free workers, one at least, and
// starts them.
func (c *Checks) begin(ctx context.Context, free chan struct{}, start func(ci.Check)) (int, error) {
	select {
	case <-free:
	case <-ctx.Done():
		return 0, nil
	}
	slots := 1
	for more := true; more; {
		select {
		case <-free:
			slots++
		default:
			more = false
		}
	}
	list, err := c.Outbox.ClaimChecks(ctx, c.holder, slots, c.away(), lease)
	for range slots - len(list) {
		free <- struct{}{}
	}
	for _, check := range list {
		start(check)
	}
	return len(list), err
}

// away returns the forges that are left alone now.
func (c *Checks) away() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for forge, p := range c.pause {
		if time.Now().Before(p.until) {
			list = append(list, forge)
		}
	}
	return list
}

// unreached notes that a forge did not answer as it should.
func (c *Checks) unreached(forge string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pause[forge]
	if time.Now().Before(p.until) {
		return // another worker has noticed
	}
	if p.step == 0 {
		c.Log.Warn("checks: a forge can't be reached; its checks are told when it is back", "forge", forge, "err", err)
	}
	p.step = min(max(2*p.step, firstPause), longestPause)
	p.until = time.Now().Add(p.step)
	c.pause[forge] = p
}

// alone says whether a check fails again and again while its forge takes others:
// then the trouble is its own, and the forge is not away.
func (c *Checks) alone(check ci.Check) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return check.Attempts > sharedTries && time.Since(c.heard[check.Origin.Forge]) < justNow
}

// reached notes that it did.
func (c *Checks) reached(forge string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard[forge] = time.Now()
	if _, was := c.pause[forge]; was {
		c.Log.Info("checks: a forge is back", "forge", forge)
		delete(c.pause, forge)
	}
}
