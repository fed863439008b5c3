package checks

import (
	"context"
	"time"

	"ci/gh/app"
	"ci/pkg/ci"
)

const (
	// workLimit bounds one check's work between two signs of life.
	workLimit = 50 * time.Second
	// noteLimit bounds what is written down after it, even while we are stopped.
	noteLimit = 10 * time.Second

	// What a forge refuses is tried again after a pause that doubles from the
	// first to the longest, and given up after so many times: about a day, in which
	// somebody may have given back a permission or set a new key.
	firstRefusal, longestRefusal = 5 * time.Second, 10 * time.Minute
	maxRefusals                  = 150

	// A forge that is away is asked every few seconds for so many times, hours in
	// all. A check that still can't be told waits between tries, and is given up after
	// about ten days.
	patientTries, maxTries = 5000, 6500
	// sharedTries is how often a check has to fail before the trouble may be its own.
	sharedTries = 3
)

// ours is an error that is not the forge's: the run or its results can't be read.
type ours struct{ error }

func (o ours) Unwrap() error { return o.error }

// work tells of one check that is held, and lets go of it.
func (c *Checks) work(ctx context.Context, check ci.Check) {
	telling, cancel := context.WithTimeout(ctx, workLimit)
	defer cancel()
	external, state, err := c.tell(telling, check)
	// What was told is written down even if we are stopped meanwhile: otherwise
	// whoever comes next would have to ask the forge.
	noting, stop := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
	defer stop()
	if err == nil {
		c.reached(check.Origin.Forge)
		err = c.Outbox.CheckTold(noting, ci.CheckNews{ID: check.ID, Holder: c.holder, Told: state, External: external})
	} else {
		err = c.failed(noting, check, err, ctx.Err() != nil)
	}
	if err != nil {
		c.Log.Warn("checks: what became of a check can't be noted; it is looked up at the forge later", "run", check.Run, "err", err)
	}
}

// tell builds the report and brings it to the forge.
func (c *Checks) tell(ctx context.Context, check ci.Check) (external int64, state ci.CheckState, err error) {
	forge, err := c.Apps.Forge(ctx, check.Origin.Forge)
	if err != nil {
		return 0, "", c.unknown(err)
	}
	r, err := c.report(ctx, check)
	if err != nil {
		return 0, "", ours{err}
	}
	if r == nil { // there is nothing to tell any more
		return check.External, ci.CheckCompleted, nil
	}
	if forge.Kind == ci.ForgeGitHub && check.Origin.Installation != 0 {
		external, err = c.tellCheckRun(ctx, check, r)
	} else {
		external, err = c.tellStatus(ctx, forge, check, r)
	}
	return external, r.state, err
}

// unknown tells a forge that is gone from a database that is away.
func (c *Checks) unknown(err error) error {
	if ci.CodeOf(err) == ci.CodeNotFound {
		return err
	}
	return ours{err}
}

// failed puts a check off, or gives it up.
func (c *Checks) failed(ctx context.Context, check ci.Check, err error, stopping bool) error {
	forge := check.Origin.Forge
	if at, said := app.RetryAt(err); said {
		c.Log.Info("checks: a forge asks to wait", "forge", forge, "run", check.Run, "until", at.UTC(), "err", err)
		return c.Outbox.PostponeCheck(ctx, check.ID, c.holder, max(time.Until(at), 0), false)
	}
	if _, own := err.(ours); own && !stopping {
		c.Log.Warn("checks: a run can't be read; trying again", "run", check.Run, "err", err)
		return c.Outbox.PostponeCheck(ctx, check.ID, c.holder, firstRefusal, false)
	}
	switch code := ci.CodeOf(err); {
	case stopping:
		return c.Outbox.PostponeCheck(ctx, check.ID, c.holder, 0, false)
	case (code == ci.CodeUnavailable || code == ci.CodeInternal) && !c.alone(check) && check.Attempts < maxTries:
		c.unreached(forge, err)
		return c.Outbox.PostponeCheck(ctx, check.ID, c.holder, awayFor(check.Attempts), false)
	case check.Refusals+1 >= maxRefusals || check.Attempts >= maxTries:
		c.Log.Error("checks: a forge will not have a check; giving up", "forge", forge, "repo", check.Origin.FullName, "run", check.Run, "err", err)
		return c.Outbox.DropCheck(ctx, check.ID, c.holder)
	}
	wait := min(firstRefusal<<min(check.Refusals, 10), longestRefusal)
	c.Log.Warn("checks: a forge will not have a check; trying again", "forge", forge, "repo", check.Origin.FullName, "run", check.Run, "in", wait, "err", err)
	return c.Outbox.PostponeCheck(ctx, check.ID, c.holder, wait, true)
}

// awayFor is how long a check rests whose forge is away, beside the pause that the
// forge itself is left alone for.
func awayFor(attempts int) time.Duration {
	if attempts < patientTries {
		return 0
	}
	return min(firstRefusal<<min(attempts-patientTries, 10), longestRefusal)
}
