package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

var pinFields = []string{"name", "reason", "until", "by"}

// pinName is what the command line's own pins are called, unless somebody says otherwise.
const pinName = "ci"

func newPin(a *app) *cobra.Command {
	cmd := parent("pin", "Keep runs longer than the limits say", newPinAdd(a), newPinList(a), newPinRemove(a))
	cmd.Aliases = []string{"pins"}
	return cmd
}

type pinOptions struct {
	*app
	name   string
	reason string
	lasts  time.Duration
}

func newPinAdd(a *app) *cobra.Command {
	o := &pinOptions{app: a}
	cmd := &cobra.Command{
		Use: "add RUN", Aliases: []string{"set"}, Short: "Keep a run, its results and its console, whatever the limits say",
		Long:    "Keep a run, its results and its console for a while, whatever the limits say. A pin of the same name is replaced.",
		Example: "  ci pin add unit-test@latest --reason 'the release' --for 8760h",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.add(cmd.Context(), args) },
	}
	cmd.Flags().StringVar(&o.name, "name", pinName, "tells the pins of one run apart")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for people")
	cmd.Flags().DurationVar(&o.lasts, "for", 30*24*time.Hour, "how long")
	return a.takesRun(cmd, 0)
}

func (o *pinOptions) add(ctx context.Context, args []string) error {
	pin := ci.Pin{Name: o.name, Reason: o.reason, Until: o.Now().Add(o.lasts).Truncate(time.Second)}
	if err := pin.Validate(o.Now()); err != nil {
		return err
	}
	c, ref, _, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	made, err := c.PutPin(ctx, ref, pin)
	if err != nil {
		return err
	}
	if o.wantsJSON() {
		return o.printItem(ctx, pinDocument(made))
	}
	o.note("%s is kept until %s. Take it back with: ci pin rm %s", ref, stamp(made.Until), ref)
	return nil
}

func pinDocument(p ci.Pin) map[string]any {
	return map[string]any{"name": p.Name, "reason": p.Reason, "until": stamp(p.Until), "by": p.By}
}

func pinPiped() []column[ci.Pin] {
	return []column[ci.Pin]{
		{"name", func(p ci.Pin) string { return p.Name }, nil},
		{"until", func(p ci.Pin) string { return stamp(p.Until) }, nil},
		{"by", func(p ci.Pin) string { return p.By }, nil},
		{"reason", func(p ci.Pin) string { return p.Reason }, nil},
	}
}

func newPinList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls RUN", Aliases: []string{"list"}, Short: "List the pins of a run",
		Long:    "List the pins of a run.\n\n" + pipedColumns(pinPiped()),
		Example: "  ci pin ls unit-test@latest",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.pinList(cmd.Context(), args) },
	}
	return document(a.takesRun(cmd, 0), "pins", pinFields)
}

func (a *app) pinList(ctx context.Context, args []string) error {
	c, ref, _, err := a.openRun(ctx, args)
	if err != nil {
		return err
	}
	if a.wantsJSON() {
		return a.printGet(ctx, runPath(ref.Job, ref.Run)+"/pins")
	}
	pins, err := c.ListPins(ctx, ref)
	if err != nil {
		return err
	}
	if len(pins) == 0 && a.OutTTY {
		a.hint("%s has no pins.", ref)
		return nil
	}
	printTable(a, pins, []column[ci.Pin]{
		{"PIN", func(p ci.Pin) string { return p.Name }, func(ci.Pin) style { return bold }},
		{"UNTIL", func(p ci.Pin) string { return stamp(p.Until) }, nil},
		{"BY", func(p ci.Pin) string { return p.By }, nil},
		{"REASON", func(p ci.Pin) string { return p.Reason }, func(ci.Pin) style { return dim }},
	}, pinPiped())
	return nil
}

func newPinRemove(a *app) *cobra.Command {
	o := &pinOptions{app: a}
	cmd := &cobra.Command{
		Use: "rm RUN", Aliases: []string{"delete"}, Short: "Take a pin away",
		Long:    "Take a pin away. One that is not there is fine.",
		Example: "  ci pin rm unit-test@latest",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.remove(cmd.Context(), args) },
	}
	cmd.Flags().StringVar(&o.name, "name", pinName, "which")
	return a.takesRun(cmd, 0)
}

func (o *pinOptions) remove(ctx context.Context, args []string) error {
	c, ref, _, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	if err := c.DeletePin(ctx, ref, o.name); err != nil {
		return err
	}
	o.note("%s is kept by no pin %s", ref, clean(o.name))
	return nil
}
