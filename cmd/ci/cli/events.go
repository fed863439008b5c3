package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type eventsOptions struct {
	*app
	after  int64
	ndjson bool
	job    string
}

func newEvents(a *app) *cobra.Command {
	o := &eventsOptions{app: a}
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happens to runs, as it happens",
		Long: "Print what happens to runs, as it happens, until it is interrupted.\n\n" + pipedColumns(eventPiped()) +
			"\nWith --json each event is a line.",
		Example: "  ci events --job unit-test\n  ci events --after 0 --json run,type,outcome",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	document(cmd, "", eventFields)
	cmd.Flags().BoolVar(&o.ndjson, "ndjson", false, "the same as --json: each event is a line")
	cmd.Flags().Int64Var(&o.after, "after", -1, "begin after the event with this `seq`; 0 begins with the oldest; default is the next one")
	cmd.Flags().StringVar(&o.job, "job", "", "only events of this job")
	return cmd
}

// eventItem is an event as the server's stream writes it.
type eventItem struct {
	Seq     int64        `json:"seq"`
	Type    ci.EventType `json:"type"`
	Run     int64        `json:"run"`
	Job     string       `json:"job"`
	Phase   ci.Phase     `json:"phase"`
	Outcome ci.Outcome   `json:"outcome"`
	At      string       `json:"at"`
}

func eventPiped() []column[ci.Event] {
	return []column[ci.Event]{
		{"seq", func(e ci.Event) string { return fmt.Sprint(e.Seq) }, nil},
		{"at", func(e ci.Event) string { return stamp(e.At) }, nil},
		{"type", func(e ci.Event) string { return string(e.Type) }, nil},
		{"run", func(e ci.Event) string { return fmt.Sprint(e.Run) }, nil},
		{"job", func(e ci.Event) string { return e.Job }, nil},
		{"phase", func(e ci.Event) string { return string(e.Phase) }, nil},
		{"outcome", func(e ci.Event) string { return string(e.Outcome) }, nil},
	}
}

func (o *eventsOptions) run(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	for e, err := range c.Events(ctx, o.after) {
		if ctx.Err() != nil {
			return &exitError{code: exitDetached}
		}
		if err != nil {
			return err
		}
		if o.job != "" && e.Job != o.job {
			continue
		}
		if err := o.print(ctx, e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return &exitError{code: exitDetached}
	}
	return nil
}

func (o *eventsOptions) print(ctx context.Context, e ci.Event) error {
	switch {
	case o.wantsJSON() || o.ndjson:
		return o.printItem(ctx, eventItem{e.Seq, e.Type, e.Run, e.Job, e.Phase, e.Outcome, e.At.UTC().Format(time.RFC3339Nano)})
	case o.OutTTY:
		what := strings.TrimPrefix(string(e.Type), "run.")
		if e.Outcome != "" {
			what = string(e.Outcome)
		}
		_, err := fmt.Fprintf(o.Out, "%s  %-10s %s/%d\n", o.outStyle(dim, e.At.Local().Format(time.TimeOnly)), clean(what), clean(e.Job), e.Run)
		return err
	}
	_, err := fmt.Fprintln(o.Out, strings.Join(row(e, eventPiped()), "\t"))
	return err
}
