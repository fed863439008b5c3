package webhook

import (
	"context"
	"strings"
	"sync"
	"time"

	"ci/gh/app"
	"ci/gh/event"
	"ci/pkg/ci"
)

const (
	// holdFor is how long a process may be silent before another takes its deliveries.
	holdFor = time.Minute
	// batch is how many deliveries are taken at once.
	batch = 32
	// tryFor is how long it is tried to act on a delivery while its forge is away.
	tryFor = 24 * time.Hour
	// rememberFor is how long a delivery that was acted on is known to have been.
	rememberFor = 400 * 24 * time.Hour
)

// Run works deliveries off and looks for missed ones until ctx ends.
func (i *Inbox) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { i.keep(ctx) })
	all.Go(func() { i.reconcileLoop(ctx) })
	defer all.Wait()
	d := newDesk(i.nudge)
	for {
		more, err := i.takeUp(ctx, d, &all)
		if err != nil && ctx.Err() == nil {
			i.Log.Warn("webhook: deliveries can't be worked off; trying again", "err", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-i.wake:
		case <-time.After(i.Poll):
		}
	}
}

// keep prolongs what is in hand.
func (i *Inbox) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(holdFor / 4):
		}
		if err := i.Records.KeepWebhooks(ctx, i.holder, holdFor); err != nil && ctx.Err() == nil {
			i.Log.Debug("webhook: what is in hand was not prolonged", "err", err)
		}
	}
}

// takeUp takes one batch, if there is room for it, and sees to it that each is
// acted on. more says that there may be further ones.
func (i *Inbox) takeUp(ctx context.Context, d *desk, all *sync.WaitGroup) (more bool, err error) {
	if d.full() {
		return false, nil // it wakes us
	}
	list, err := i.Records.HoldWebhooks(ctx, i.holder, batch, holdFor)
	if err != nil {
		return false, err
	}
	for k := range list {
		if line, begins := d.add(&list[k]); begins {
			all.Go(func() { i.workOff(ctx, d, line) })
		}
	}
	return len(list) == batch, nil
}

// workOff acts on the deliveries of one line, one after the other, until there is none.
func (i *Inbox) workOff(ctx context.Context, d *desk, line string) {
	for w := d.first(line); w != nil; w = d.next(line) {
		select {
		case d.slots <- struct{}{}:
			i.act(ctx, w)
			<-d.slots
		case <-ctx.Done():
			return
		}
	}
}

// act settles one delivery, or gives it back until later.
func (i *Inbox) act(ctx context.Context, w *ci.Webhook) {
	s, err := i.decide(ctx, w)
	var runs []ci.RunRef
	decided := err == nil
	if decided {
		s.Seq, s.Holder, s.Note = w.Seq, i.holder, brief(s.Note)
		runs, err = i.Records.SettleWebhook(ctx, *s)
	}
	log := i.Log.With("forge", w.Forge, "delivery", w.ID, "event", w.Event, "action", w.Action, "repo", w.Repository)
	switch code := ci.CodeOf(err); {
	case err == nil:
		log.Info("webhook: done", "note", s.Note, "runs", len(runs))
	case ctx.Err() != nil:
	case decided && code == ci.CodeConflict:
		log.Info("webhook: another process has acted on it", "err", err)
	case !again(err) || i.Records.Now().Sub(w.ReceivedAt) > tryFor:
		log.Error("webhook: nothing can come of it", "err", err)
		_, err = i.Records.SettleWebhook(ctx, ci.Settlement{Seq: w.Seq, Holder: i.holder, Note: brief("Given up: " + err.Error() + ".")})
		i.warn("a delivery that was given up", err)
	default:
		wait := pause(w.Tries, err, i.Records.Now())
		log.Warn("webhook: trying again later", "in", wait, "err", err)
		i.warn("a delivery that has to wait", i.Records.DeferWebhook(ctx, w.Seq, i.holder, brief(waits(w, err)), wait))
	}
}

func (i *Inbox) warn(what string, err error) {
	if err != nil && ci.CodeOf(err) != ci.CodeConflict {
		i.Log.Warn("webhook: "+what+" was not recorded", "err", err)
	}
}

// again says whether the same delivery may succeed later. Permissions are taken
// and given back, and keys changed: what is forbidden now is tried again, too.
func again(err error) bool {
	code := ci.CodeOf(err)
	return code == ci.CodeUnavailable || code == ci.CodeInternal || code == ci.CodeTooMany || code == ci.CodeForbidden
}

// waits is the note of a delivery that has to wait.
func waits(w *ci.Webhook, err error) string {
	if ci.CodeOf(err) != ci.CodeForbidden {
		return err.Error()
	}
	return "The forge refuses us, and is asked again until " + w.ReceivedAt.Add(tryFor).UTC().Format(time.RFC3339) +
		"; look at the App's key, its permissions and its installation: " + err.Error()
}

// pause is how long to wait before the next try: until the forge wants to be
// asked again, if it has said when.
func pause(tries int, err error, now time.Time) time.Duration {
	longest := time.Minute
	if ci.CodeOf(err) == ci.CodeForbidden {
		longest = 10 * time.Minute // somebody has to do something first
	}
	wait := min(time.Second<<min(tries, 10), longest)
	if at, ok := app.RetryAt(err); ok {
		wait = max(wait, at.Sub(now))
	}
	return min(wait, time.Hour)
}

// decide says what comes of a delivery. Its errors are of what had to be asked.
func (i *Inbox) decide(ctx context.Context, w *ci.Webhook) (*ci.Settlement, error) {
	forge, err := i.Records.Forge(ctx, w.Forge)
	if ci.CodeOf(err) == ci.CodeNotFound {
		return &ci.Settlement{Note: "Nothing: the forge was deleted."}, nil
	}
	if err != nil {
		return nil, err
	}
	e := event.Parse(forge.Kind, w.Event, w.Body)
	if e.Kind == "" {
		return &ci.Settlement{Note: "Nothing: " + e.Ignored + "."}, nil
	}
	m := &matter{Inbox: i, hook: w, forge: forge, event: e, server: i.server(forge, &e)}
	s := &ci.Settlement{}
	if err := m.settle(ctx, s); err != nil {
		return nil, err
	}
	s.Note = strings.TrimSpace(strings.Join(m.notes, " "))
	return s, nil
}

// maxNote is how long a note may be, in bytes.
const maxNote = 4 << 10

func brief(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text[:min(len(text), maxNote)], ""), "\x00", "")
}
