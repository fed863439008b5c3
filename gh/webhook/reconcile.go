package webhook

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/google/go-github/v60/github"

	"ci/gh/app"
	"ci/pkg/ci"
)

const (
	// keptByGitHub is how long GitHub can deliver again.
	keptByGitHub = 3 * 24 * time.Hour
	// againAfter is how long GitHub has to try a delivery that was asked for before it is asked for again.
	againAfter = 10 * time.Minute
	// longestAgain bounds the pause before a delivery is asked for that did not get through again.
	longestAgain = 6 * time.Hour
)

// reconcileLoop looks for deliveries that never came. One process at a time does.
func (i *Inbox) reconcileLoop(ctx context.Context) {
	var pruned time.Time
	for wait := min(i.Reconcile, time.Second); ; wait = i.Reconcile {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		leads, err := i.Records.Leads(ctx, "webhooks", i.holder, i.Reconcile*3/2)
		if err != nil || !leads {
			i.warn("who looks for missed deliveries", err)
			continue
		}
		i.reconcileAll(ctx)
		if time.Since(pruned) > time.Hour {
			pruned = time.Now()
			i.warn("that old deliveries are forgotten", i.Records.PruneWebhooks(ctx, rememberFor))
		}
	}
}

func (i *Inbox) reconcileAll(ctx context.Context) {
	forges, err := i.Records.ListForges(ctx)
	if err != nil {
		i.Log.Warn("webhook: the forges can't be read", "err", err)
		return
	}
	i.forgetOrders()
	for _, f := range forges {
		if f.Kind != ci.ForgeGitHub || f.AppID == 0 {
			continue // only an App can ask for deliveries again
		}
		n, err := i.reconcile(ctx, f.Name)
		if err != nil && ctx.Err() == nil {
			i.Log.Warn("webhook: missed deliveries could not be looked for", "forge", f.Name, "err", err)
		}
		if n > 0 {
			i.Log.Info("webhook: missed deliveries were asked for again", "forge", f.Name, "count", n)
		}
	}
}

// reconcile asks GitHub to deliver again what it has sent and nobody recorded.
// It reads all deliveries that can still be had, a hundred a page.
func (i *Inbox) reconcile(ctx context.Context, forge string) (asked int, err error) {
	c, err := i.Clients.AppClient(ctx, forge)
	if err != nil {
		return 0, err
	}
	now := i.Records.Now()
	seen := map[string]bool{}
	for opt := (&github.ListCursorOptions{PerPage: perPage}); ; {
		list, resp, err := c.Apps.ListHookDeliveries(ctx, opt)
		if err != nil {
			return asked, app.Explain(err, "list the App's deliveries")
		}
		n, err := i.askAgain(ctx, c, forge, list, seen)
		asked += n
		if err != nil {
			return asked, err
		}
		if len(list) == 0 || now.Sub(list[len(list)-1].GetDeliveredAt().Time) > keptByGitHub || resp.Cursor == "" {
			return asked, nil
		}
		opt.Cursor = resp.Cursor
	}
}

// askAgain asks for those of one page that are missing, by the newest attempt of
// each. One that is still on its way may come twice: it is acted on once all the same.
func (i *Inbox) askAgain(ctx context.Context, c *github.Client, forge string, list []*github.HookDelivery, seen map[string]bool) (asked int, err error) {
	ids := make([]string, len(list))
	for k, d := range list {
		ids[k] = d.GetGUID()
	}
	known, err := i.Records.KnownWebhooks(ctx, forge, ids)
	if err != nil {
		return 0, err
	}
	for _, d := range list {
		key := forge + " " + d.GetGUID()
		if known[d.GetGUID()] {
			delete(i.asked, key)
			continue
		}
		if seen[key] || !i.asked[key].due(d.GetID(), i.Reconcile, time.Now()) {
			seen[key] = true
			continue
		}
		seen[key] = true
		i.asked[key] = i.asked[key].again(d.GetID(), time.Now())
		if err := i.redeliver(ctx, c, forge, d); err != nil {
			return asked, err
		}
		asked++
	}
	return asked, nil
}

// redeliver asks for one delivery. One that GitHub will not send again, since it
// is too old by now, must not keep us from those behind it.
func (i *Inbox) redeliver(ctx context.Context, c *github.Client, forge string, d *github.HookDelivery) error {
	_, _, err := c.Apps.RedeliverHookDelivery(ctx, d.GetID())
	var accepted *github.AcceptedError
	if err == nil || errors.As(err, &accepted) {
		return nil
	}
	err = app.Explain(err, "have a delivery sent again")
	if code := ci.CodeOf(err); code != ci.CodeInvalid && code != ci.CodeNotFound && code != ci.CodeConflict {
		return err
	}
	i.Log.Warn("webhook: a missed delivery is not sent again", "forge", forge, "delivery", d.GetGUID(), "event", d.GetEvent(), "err", err)
	return nil
}

// order is how a missing delivery was asked for; the zero one has not been yet.
type order struct {
	times   int
	attempt int64 // GitHub's number of the newest attempt at that time
	at      time.Time
}

// due says whether a delivery whose newest attempt has that number is to be
// asked for now. One that did not get through again is asked for after a pause
// that doubles: who lost it may be away for a minute, or refuse it for good.
func (o order) due(attempt int64, first time.Duration, now time.Time) bool {
	if o.times == 0 {
		return true
	}
	pause := min(first<<min(o.times-1, 20), longestAgain)
	if attempt == o.attempt { // what was asked for has not been tried yet
		pause = max(pause, againAfter)
	}
	return now.Sub(o.at) >= pause
}

func (o order) again(attempt int64, now time.Time) order {
	return order{o.times + 1, attempt, now}
}

// forgetOrders drops those of deliveries that GitHub does not keep any more.
func (i *Inbox) forgetOrders() {
	maps.DeleteFunc(i.asked, func(_ string, o order) bool { return time.Since(o.at) > keptByGitHub })
}
