package cli

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type listOptions struct {
	*app
	filter ci.RunFilter
	since  string
	status string
	parent string
	limit  int
}

func newList(a *app) *cobra.Command {
	o := &listOptions{app: a}
	cmd := &cobra.Command{
		Use:     "ls [JOB]",
		Aliases: []string{"list", "runs"},
		Short:   "List runs, newest first",
		Long:    "List runs, newest first.\n\n" + pipedColumns(runPiped()),
		Example: "  ci ls unit-test --status failed --since 24h\n  ci ls --commit HEAD\n  ci ls --json id,job,outcome\n  ci ls --jq '.runs[].id'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.filter.Job = args[0]
			}
			return o.run(cmd.Context())
		},
	}
	document(cmd, "runs", runFields)
	f := cmd.Flags()
	f.StringVarP(&o.status, "status", "s", "", "only runs that are in_progress or done, or ended as succeeded, failed, error, aborted, timed_out or lost")
	f.StringVarP(&o.filter.BranchName, "branch", "b", "", "only runs of this branch")
	f.StringVarP(&o.filter.CommitSHA, "commit", "c", "", "only runs of this commit: its full id, or a `rev` of the working tree such as HEAD")
	f.StringVar(&o.since, "since", "", "only runs triggered since a `time` (2006-01-02T15:04:05Z) or in the last duration (24h)")
	f.StringVar(&o.parent, "parent", "", "only runs that the script of this `run` triggered: its id, or JOB/RUN")
	f.IntVarP(&o.limit, "limit", "n", 30, "how many at most; 0 for all")
	return cmd
}

func (o *listOptions) run(ctx context.Context) error {
	if err := o.parse(); err != nil {
		return err
	}
	var err error
	if o.filter.CommitSHA, err = o.resolveCommit(ctx, o.filter.CommitSHA); err != nil {
		return err
	}
	if o.wantsJSON() {
		return o.printJSONList(ctx)
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	var runs []ci.Run
	for r, err := range c.ListRuns(ctx, o.filter) {
		if err != nil {
			return err
		}
		if runs = append(runs, r); o.limit > 0 && len(runs) >= o.limit {
			break
		}
	}
	if len(runs) == 0 && o.OutTTY {
		o.hint("No runs.")
		return nil
	}
	printTable(o.app, runs, o.runColumns(), runPiped())
	return nil
}

// parse reads the flags that have a syntax of their own.
func (o *listOptions) parse() error {
	if o.limit < 0 {
		return usagef("--limit %d is negative; 0 lists all", o.limit)
	}
	switch s := strings.ReplaceAll(o.status, "-", "_"); {
	case s == "":
	case s == string(ci.StatusInProgress) || s == string(ci.StatusDone):
		o.filter.Status = ci.Status(s)
	default:
		for _, known := range ci.Outcomes {
			if s == string(known) {
				o.filter.Outcome = known
			}
		}
		if o.filter.Outcome == "" {
			return usagef("--status %q is none; expected in_progress, done or one of %v", o.status, ci.Outcomes)
		}
	}
	if err := o.parseParent(); err != nil {
		return err
	}
	if o.since == "" {
		return nil
	}
	if d, err := time.ParseDuration(o.since); err == nil && d > 0 {
		o.filter.Since = o.Now().Add(-d)
		return nil
	}
	t, err := time.Parse(time.RFC3339, o.since)
	if err != nil {
		return usagef("--since %q is neither a time like 2006-01-02T15:04:05Z nor a duration like 24h", o.since)
	}
	o.filter.Since = t
	return nil
}

// parseParent reads --parent. The job of JOB/RUN is for people: an id names one run alone.
func (o *listOptions) parseParent() error {
	if o.parent == "" {
		return nil
	}
	_, text, joined := strings.Cut(o.parent, "/")
	if !joined {
		text = o.parent
	}
	id, err := strconv.ParseInt(text, 10, 32)
	if err != nil || id <= 0 {
		return usagef("--parent %q is not a run's id; expected a number, or JOB/RUN", o.parent)
	}
	o.filter.Parent = id
	return nil
}

func (o *listOptions) printJSONList(ctx context.Context) error {
	r, err := o.rest()
	if err != nil {
		return err
	}
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("status", string(o.filter.Status))
	set("outcome", string(o.filter.Outcome))
	set("branchName", o.filter.BranchName)
	set("commitSha", o.filter.CommitSHA)
	set("since", stamp(o.filter.Since))
	if o.filter.Parent > 0 {
		q.Set("parent", strconv.FormatInt(o.filter.Parent, 10))
	}
	path := "/runs"
	if o.filter.Job != "" {
		path = at("jobs", o.filter.Job, "runs")
	}
	doc, err := r.list(ctx, path, q, "runs", o.limit)
	if err != nil {
		return err
	}
	return o.printJSON(ctx, doc)
}
