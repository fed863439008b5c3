package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type drainOptions struct {
	*app
	reason string
	within time.Duration
	then   string
	wait   bool
}

// drainPoll is how often --wait asks how a drain stands.
const drainPoll = 500 * time.Millisecond

func newAgentDrain(a *app) *cobra.Command {
	o := &drainOptions{app: a}
	cmd := &cobra.Command{
		Use:   "drain AGENT",
		Short: "Let an agent take nothing new",
		Long: "Let an agent take nothing new. What it runs goes on; with --deadline it is aborted after that time, or with --then wait goes on all the same. " +
			"`ci agent undrain` takes it back, `ci agent show` says how it stands.",
		Example: "  ci agent drain builder-3 --reason 'new disk' --deadline 1h --wait",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for people")
	cmd.Flags().DurationVar(&o.within, "deadline", 0, "time after which --then happens to what still runs; default is to wait for ever")
	cmd.Flags().StringVar(&o.then, "then", string(ci.DrainAbort), "what happens to it: abort or wait")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "return once nothing is left")
	return cmd
}

func (o *drainOptions) run(ctx context.Context, agent string) error {
	d := ci.Drain{Reason: o.reason, Then: ci.DrainThen(o.then)}
	if o.within < 0 {
		return usagef("--deadline %s is negative", o.within)
	}
	if d.Then != ci.DrainAbort && d.Then != ci.DrainWait {
		return usagef("--then %s is neither abort nor wait", o.then)
	}
	c, err := o.patientClient()
	if err != nil {
		return err
	}
	if o.within > 0 {
		d.Deadline = o.Now().Add(o.within)
	}
	if d, err = c.Drain(ctx, agent, d); err != nil {
		return err
	}
	o.note("%s takes nothing new. Take it back with: ci agent undrain %s", clean(agent), clean(agent))
	if !o.wait {
		return nil
	}
	return o.await(ctx, c, agent, d)
}

// await returns once the agent holds nothing. That somebody undoes the drain meanwhile is an error.
func (o *drainOptions) await(ctx context.Context, c Client, agent string, d ci.Drain) (err error) {
	for said := ""; !d.Drained(); {
		if now := drainState(d, o.Now()); now != said {
			said = now
			o.note("%s", now)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(drainPoll):
		}
		if d, err = c.GetDrain(ctx, agent); err != nil {
			return err
		}
	}
	o.note("%s holds nothing", clean(agent))
	return nil
}

// drainState says how a drain stands.
func drainState(d ci.Drain, now time.Time) string {
	what := "nothing is left"
	if !d.Drained() {
		what = fmt.Sprintf("%d left: %s", len(d.Runs), strings.ReplaceAll(ids(d.Runs), ",", " "))
	}
	if d.Late(now) {
		what += fmt.Sprintf(" (the deadline was %s)", stamp(d.Deadline))
	}
	return what
}

// drainLine is a drain in one line.
func drainLine(d ci.Drain, now time.Time) string {
	line := drainState(d, now)
	if d.By != "" {
		line += ", by " + d.By
	}
	if d.Reason != "" {
		line += ": " + d.Reason
	}
	if !d.Deadline.IsZero() && !d.Late(now) {
		line += fmt.Sprintf(" (%s at %s)", d.Then, stamp(d.Deadline))
	}
	return line
}
