package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type pipelineRunOptions struct {
	*app
	parameters  []string
	idempotency string
	wait        bool
}

func newPipelineRun(a *app) *cobra.Command {
	o := &pipelineRunOptions{app: a}
	cmd := &cobra.Command{
		Use: "run PIPELINE", Aliases: []string{"trigger", "start"}, Short: "Run a pipeline",
		Long:    "Run a pipeline. With --wait it is followed to its end, and its exit code is the command's (see `ci help exit-codes`).\n\n" + pipedColumns(pipelineRunColumns()),
		Example: "  ci pipeline run release -p branch=main --wait",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.parameters, "param", "p", nil, "give a parameter a value: `NAME=VALUE`; may be repeated")
	f.StringVar(&o.idempotency, "idempotency-key", "", "a repeated trigger with the same key returns the first one's run")
	f.BoolVarP(&o.wait, "wait", "w", false, "wait until it is done")
	return document(cmd, "", pipelineRunFields)
}

func (o *pipelineRunOptions) run(ctx context.Context, name string) error {
	values, err := parameters(o.parameters)
	if err != nil {
		return err
	}
	r, err := o.pipelines()
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"parameters": values})
	if err != nil {
		return err
	}
	header := http.Header{}
	if o.idempotency != "" {
		header.Set("Idempotency-Key", o.idempotency)
	}
	res, err := r.send(ctx, http.MethodPost, at("pipelines", name, "runs"), header, body)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	var run ci.PipelineRun
	if err := json.NewDecoder(res.Body).Decode(&run); err != nil {
		return ci.Errorf(ci.CodeInternal, "the server's answer is not a run of a pipeline: %w", err)
	}
	return o.stay(ctx, r, &run, o.wait)
}

// stay prints a run that was begun, and with wait follows it.
func (a *app) stay(ctx context.Context, r *rest, run *ci.PipelineRun, wait bool) error {
	if wait {
		return a.followPipeline(ctx, r, run)
	}
	a.hint("%s is on its way. See: ci pipeline watch %[1]s", pipelineRef(run))
	return a.printPipelineRun(ctx, run)
}

func pipelineRef(r *ci.PipelineRun) string { return ci.RunRef{Job: r.Pipeline, Run: r.ID}.String() }

func pipelineRunColumns() []column[ci.PipelineRun] {
	return []column[ci.PipelineRun]{
		{"run", func(r ci.PipelineRun) string { return pipelineRef(&r) }, nil},
		{"state", pipelineState, nil},
		{"triggered", func(r ci.PipelineRun) string { return stamp(r.Triggered) }, nil},
		{"done", func(r ci.PipelineRun) string { return stamp(r.Done) }, nil},
		{"by", func(r ci.PipelineRun) string { return r.TriggeredBy }, nil},
		{"reason", func(r ci.PipelineRun) string { return r.Reason }, nil},
	}
}

func pipelineState(r ci.PipelineRun) string {
	if r.Finished() {
		return string(r.Outcome)
	}
	return string(r.Status)
}

func (a *app) printPipelineRun(ctx context.Context, run *ci.PipelineRun) error {
	if a.wantsJSON() {
		doc, err := json.Marshal(run)
		return firstOf(err, func() error { return a.printJSON(ctx, doc) })
	}
	a.printPipelineRuns([]ci.PipelineRun{*run})
	return nil
}

func (a *app) printPipelineRuns(runs []ci.PipelineRun) {
	printTable(a, runs, []column[ci.PipelineRun]{
		{"RUN", func(r ci.PipelineRun) string { return pipelineRef(&r) }, func(ci.PipelineRun) style { return bold }},
		{"STATE", pipelineState, nil},
		{"TRIGGERED", func(r ci.PipelineRun) string { return age(a.Now(), r.Triggered) }, nil},
		{"BY", func(r ci.PipelineRun) string { return r.TriggeredBy }, nil},
		{"REASON", func(r ci.PipelineRun) string { return r.Reason }, func(ci.PipelineRun) style { return dim }},
	}, pipelineRunColumns())
}

func newPipelineRuns(a *app) *cobra.Command {
	var status, outcome string
	var limit int
	cmd := &cobra.Command{
		Use: "runs [PIPELINE]", Aliases: []string{"history"}, Short: "List runs of pipelines, newest first",
		Long: "List runs of a pipeline, or of all, newest first.\n\n" + pipedColumns(pipelineRunColumns()), Example: "  ci pipeline runs release --outcome failed", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := "-"
			if len(args) > 0 {
				name = args[0]
			}
			r, err := a.pipelines()
			if err != nil {
				return err
			}
			doc, err := r.list(cmd.Context(), at("pipelines", name, "runs"), url.Values{"status": {status}, "outcome": {outcome}}, "runs", limit)
			if err != nil || a.wantsJSON() {
				return firstOf(err, func() error { return a.printJSON(cmd.Context(), doc) })
			}
			var got struct{ Runs []ci.PipelineRun }
			if err := json.Unmarshal(doc, &got); err != nil {
				return err
			}
			a.printPipelineRuns(got.Runs)
			return nil
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only those in_progress, or done")
	cmd.Flags().StringVar(&outcome, "outcome", "", "only those that ended so")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "at most so many")
	return document(cmd, "runs", pipelineRunFields)
}

// pipelineRun finds NAME/ID, or the latest run of NAME.
func (a *app) pipelineRun(ctx context.Context, r *rest, name string) (*ci.PipelineRun, error) {
	pipeline, id, exact := strings.Cut(strings.TrimSuffix(name, latest), "/")
	if !exact {
		var got struct{ Runs []ci.PipelineRun }
		if _, err := r.ask(ctx, http.MethodGet, at("pipelines", pipeline, "runs")+"?pageSize=1", nil, &got); err != nil {
			return nil, err
		}
		if len(got.Runs) == 0 {
			return nil, ci.Errorf(ci.CodeNotFound, "pipeline %q has no runs", pipeline)
		}
		id = strconv.FormatInt(got.Runs[0].ID, 10)
	}
	if n, err := strconv.ParseInt(id, 10, 64); err != nil || n < 1 {
		return nil, usagef("%q is no run of a pipeline; it is named as NAME/ID, or NAME for the latest", name)
	}
	var run ci.PipelineRun
	_, err := r.ask(ctx, http.MethodGet, at("pipelines", pipeline, "runs", id), nil, &run)
	return &run, err
}

// onPipelineRun is the shape of verbs that do something with one run.
func (a *app) onPipelineRun(ctx context.Context, name string, fn func(r *rest, run *ci.PipelineRun) error) error {
	r, err := a.pipelines()
	if err != nil {
		return err
	}
	run, err := a.pipelineRun(ctx, r, name)
	if err != nil {
		return err
	}
	return fn(r, run)
}

func pipelineRunPath(r *ci.PipelineRun, more ...string) string {
	return at(append([]string{"pipelines", r.Pipeline, "runs", strconv.FormatInt(r.ID, 10)}, more...)...)
}

// post changes a run and prints it as it is then.
func (a *app) postPipelineRun(ctx context.Context, r *rest, path string, in any) (*ci.PipelineRun, error) {
	var run ci.PipelineRun
	_, err := r.ask(ctx, http.MethodPost, path, in, &run)
	return &run, err
}

func newPipelineAbort(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "abort RUN", Aliases: []string{"cancel", "stop"}, Short: "End a run of a pipeline, and all runs that it has triggered",
		Example: "  ci pipeline abort release", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onPipelineRun(cmd.Context(), args[0], func(r *rest, run *ci.PipelineRun) error {
				now, err := a.postPipelineRun(cmd.Context(), r, pipelineRunPath(run, "abort"), nil)
				return firstOf(err, func() error { return a.printPipelineRun(cmd.Context(), now) })
			})
		},
	}
	return document(cmd, "", pipelineRunFields)
}

func newPipelineRerun(a *app) *cobra.Command {
	var failed, wait bool
	cmd := &cobra.Command{
		Use: "rerun RUN", Aliases: []string{"retry"}, Short: "Run a pipeline again, as it was then",
		Long:    "Run a pipeline again with the program and the parameters of one of its runs. With --failed only what failed then runs again, and what came after it; what succeeded is reused.\n\n" + pipedColumns(pipelineRunColumns()),
		Example: "  ci pipeline rerun release --failed", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onPipelineRun(cmd.Context(), args[0], func(r *rest, run *ci.PipelineRun) error {
				next, err := a.postPipelineRun(cmd.Context(), r, pipelineRunPath(run, "rerun"), map[string]bool{"failed": failed})
				return firstOf(err, func() error { return a.stay(cmd.Context(), r, next, wait) })
			})
		},
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "reuse what succeeded")
	cmd.Flags().BoolVarP(&wait, "wait", "w", false, "wait until it is done")
	return document(cmd, "", pipelineRunFields)
}

func newPipelineApprove(a *app) *cobra.Command {
	var no bool
	var note, call string
	cmd := &cobra.Command{
		Use: "approve RUN", Aliases: []string{"answer"}, Short: "Say yes, or no, to what a run of a pipeline asks",
		Example: "  ci pipeline approve release --note \"after the demo\"", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onPipelineRun(cmd.Context(), args[0], func(r *rest, run *ci.PipelineRun) error {
				id, err := question(run, call)
				if err != nil {
					return err
				}
				now, err := a.postPipelineRun(cmd.Context(), r, pipelineRunPath(run, "approvals", id), map[string]any{"approved": !no, "note": note})
				return firstOf(err, func() error { return a.printPipelineRun(cmd.Context(), now) })
			})
		},
	}
	cmd.Flags().BoolVar(&no, "no", false, "refuse")
	cmd.Flags().StringVar(&note, "note", "", "why, for those who look later")
	cmd.Flags().StringVar(&call, "call", "", "which question, where a run asks several: its `id` in the graph")
	return document(cmd, "", pipelineRunFields)
}

// question is the call that waits for an answer.
func question(run *ci.PipelineRun, id string) (string, error) {
	var open []string
	for _, c := range run.Calls {
		if c.Kind == ci.CallApprove && !c.Done && (id == "" || id == c.ID) {
			open = append(open, c.ID)
		}
	}
	switch len(open) {
	case 0:
		return "", ci.Errorf(ci.CodeConflict, "%s asks nothing at the moment", pipelineRef(run))
	case 1:
		return open[0], nil
	}
	return "", usagef("%s asks %d things; say which with --call %s", pipelineRef(run), len(open), fmt.Sprint(strings.Join(open, " or ")))
}
