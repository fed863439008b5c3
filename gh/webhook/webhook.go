// Package webhook takes what forges deliver: verified by their signature over
// the raw bytes, recorded once by one insert, and answered. What comes of a
// delivery is worked off from the records, by any process, as often as it takes
// and with effect once. What was missed while nobody listened is asked for again.
package webhook

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/google/uuid"

	"ci/pkg/ci"
)

// Records is what the backend remembers. Each writing method is one transaction.
type Records interface {
	// Forge returns a forge with what opens it, or ci.CodeNotFound.
	Forge(ctx context.Context, name string) (*ci.ForgeAccess, error)
	ListForges(ctx context.Context) ([]ci.Forge, error)

	// AddWebhook records a delivery; fresh is false for one that was recorded before.
	AddWebhook(ctx context.Context, w *ci.Webhook) (fresh bool, err error)
	// HoldWebhooks gives holder up to n deliveries that are due, for a time.
	HoldWebhooks(ctx context.Context, holder string, n int, d time.Duration) ([]ci.Webhook, error)
	// KeepWebhooks prolongs what holder holds.
	KeepWebhooks(ctx context.Context, holder string, d time.Duration) error
	// DeferWebhook gives a delivery back for some time, with the reason.
	DeferWebhook(ctx context.Context, seq int64, holder, note string, d time.Duration) error
	// SettleWebhook makes all that comes of a delivery true at once, or nothing
	// (ci.CodeConflict: it is settled, or in other hands).
	SettleWebhook(ctx context.Context, s ci.Settlement) ([]ci.RunRef, error)
	// KnownWebhooks returns those of ids that were recorded.
	KnownWebhooks(ctx context.Context, forge string, ids []string) (map[string]bool, error)
	// PruneWebhooks forgets the settled ones that are older than d.
	PruneWebhooks(ctx context.Context, d time.Duration) error
	// Leads says whether holder is the one process that does something, for a time.
	Leads(ctx context.Context, what, holder string, d time.Duration) (bool, error)

	// ForgeTriggers returns the triggers that an event of a repository may be for.
	ForgeTriggers(ctx context.Context, forge string, repository int64, fullName string) ([]ci.EventTrigger, error)
	GetRun(ctx context.Context, job string, id int64) (*ci.Run, error)
	// RunsOfHead and RunsOfLine return runs of a repository, newest first; see ci.Origin.
	RunsOfHead(ctx context.Context, repo, head string, limit int) ([]ci.Run, error)
	RunsOfLine(ctx context.Context, repo, line string, limit int) ([]ci.Run, error)
	// Now is the database's clock.
	Now() time.Time
}

// Clients calls GitHub; gh/app does.
type Clients interface {
	Client(ctx context.Context, forge string, installation int64) (*github.Client, error)
	AppClient(ctx context.Context, forge string) (*github.Client, error)
}

// Config is what an Inbox needs. All fields but those with a default are required.
type Config struct {
	Records Records
	Clients Clients
	Log     *slog.Logger
	// Poll is the time between two looks for deliveries that another process
	// recorded, or that are due again. Default 2 s.
	Poll time.Duration
	// Reconcile is the time between two looks for deliveries that never came. Default 5 min.
	Reconcile time.Duration
	// Trace says where a request is in a distributed trace, nil for nowhere. Default: requests are nowhere.
	Trace func(ctx context.Context) (place *ci.Trace, came bool)
}

// Inbox takes deliveries and works them off. It is safe for concurrent use.
type Inbox struct {
	Config
	holder string
	wake   chan struct{}
	rooms  rooms
	asked  map[string]order // deliveries that were asked for again; only reconcile uses it
}

// New makes an Inbox.
func New(c Config) *Inbox {
	if c.Poll == 0 {
		c.Poll = 2 * time.Second
	}
	if c.Reconcile == 0 {
		c.Reconcile = 5 * time.Minute
	}
	if c.Trace == nil {
		c.Trace = func(context.Context) (*ci.Trace, bool) { return nil, false }
	}
	return &Inbox{Config: c, holder: uuid.NewString(), wake: make(chan struct{}, 1), rooms: newRooms(), asked: map[string]order{}}
}

// nudge wakes the worker of this process.
func (i *Inbox) nudge() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}
