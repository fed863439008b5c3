package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newPipelineWatch(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "watch RUN", Aliases: []string{"wait", "follow"}, Short: "Follow a run of a pipeline until it is done",
		Long:    "Follow a run of a pipeline until it is done, and exit with its exit code (see `ci help exit-codes`). What happens is told on standard error.\n\n" + pipedColumns(pipelineRunColumns()),
		Example: "  ci pipeline watch release", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onPipelineRun(cmd.Context(), args[0], func(r *rest, run *ci.PipelineRun) error { return a.followPipeline(cmd.Context(), r, run) })
		},
	}
	return document(cmd, "", pipelineRunFields)
}

// unreachablePause is how long a follower waits for a server that is away.
const unreachablePause = 2 * time.Second

// followPipeline tells what happens until the run is done, prints it, and ends with its outcome.
func (a *app) followPipeline(ctx context.Context, r *rest, run *ci.PipelineRun) error {
	told := map[string]bool{}
	for since := -1; ; since = run.Progress() {
		a.tellCalls(run, told)
		if run.Finished() {
			break
		}
		var next ci.PipelineRun
		_, err := r.ask(ctx, http.MethodGet, pipelineRunPath(run)+fmt.Sprintf("?wait=50s&since=%d", max(since, run.Progress())), nil, &next)
		if ctx.Err() != nil {
			a.hint("%s goes on. See: ci pipeline watch %[1]s", pipelineRef(run))
			return &exitError{code: exitDetached}
		}
		if ci.CodeOf(err) == ci.CodeUnavailable {
			select {
			case <-time.After(unreachablePause):
			case <-ctx.Done():
			}
			continue
		}
		if err != nil {
			return err
		}
		run = &next
	}
	if run.Reason != "" {
		a.note("%s %s: %s", pipelineRef(run), run.Outcome, clean(run.Reason))
	}
	if err := a.printPipelineRun(ctx, run); err != nil {
		return err
	}
	return exitOf(&ci.Run{Outcome: run.Outcome})
}

// tellCalls tells each beginning and each end once.
func (a *app) tellCalls(run *ci.PipelineRun, told map[string]bool) {
	once := func(key, format string, args ...any) {
		if !told[key] {
			told[key] = true
			a.note(format, args...)
		}
	}
	for i := range run.Calls {
		c := &run.Calls[i]
		if (c.Kind != ci.CallRun || c.Run != nil) && !c.Reused && c.Kind != ci.CallPrint {
			once("began "+c.ID, "%s begins", nameOfCall(c))
		}
		switch {
		case c.Kind == ci.CallPrint:
			once("ended "+c.ID, "%s", cleanLines(c.Title))
		case c.Done:
			once("ended "+c.ID, "%s %s", nameOfCall(c), endOfCall(c))
		}
	}
}

func nameOfCall(c *ci.PipelineCall) string {
	title := clean(c.Title)
	if c.Kind == ci.CallRun && c.Run != nil {
		if ref := c.Run.String(); !strings.HasPrefix(ref, c.Title+"/") {
			return title + " (" + clean(ref) + ")"
		}
		return clean(c.Run.String())
	}
	if c.Kind == ci.CallRun {
		return title
	}
	return string(c.Kind) + " " + title
}

func endOfCall(c *ci.PipelineCall) string {
	end := string(c.Outcome)
	if c.Reused {
		end += ", reused"
	}
	if c.By != "" {
		end += " by " + clean(c.By)
	}
	if c.Reason != "" && c.Outcome != ci.OutcomeSucceeded {
		end += ": " + clean(c.Reason)
	}
	return end
}

func newPipelineGraph(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "graph RUN", Aliases: []string{"tree"}, Short: "Show what a run of a pipeline has done, in its order, with times",
		Long: "Show what a run of a pipeline has done so far, with times. A line stands under what it waited for; `after` names what else it did.\n\n" +
			"Columns in a pipe, separated by tabs: id, kind, title, run, outcome, seconds, after.",
		Example: "  ci pipeline graph release\n  ci pipeline graph release --format mermaid", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onPipelineRun(cmd.Context(), args[0], func(_ *rest, run *ci.PipelineRun) error { return a.graph(cmd.Context(), run, format) })
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, dot (Graphviz) or mermaid")
	return document(cmd, "", pipelineRunFields)
}

func (a *app) graph(ctx context.Context, run *ci.PipelineRun, format string) error {
	switch {
	case a.wantsJSON():
		doc, err := json.Marshal(run)
		return firstOf(err, func() error { return a.printJSON(ctx, doc) })
	case format == "dot":
		a.printEdges(run, "digraph pipeline {", "  %q [label=%q];\n", "  %q -> %q;\n", "}")
	case format == "mermaid":
		a.printEdges(run, "flowchart TD", "  c%s[%q]\n", "  c%s --> c%s\n", "")
	case format != "text":
		return usagef("--format %q is neither text, dot nor mermaid", format)
	case a.OutTTY:
		a.printTree(run)
	default:
		for i := range run.Calls {
			c := &run.Calls[i]
			ref := ""
			if c.Run != nil {
				ref = c.Run.String()
			}
			fmt.Fprintln(a.Out, strings.Join([]string{c.ID, string(c.Kind), clean(c.Title), clean(ref), string(c.Outcome), fmt.Sprintf("%.1f", a.took(c).Seconds()), strings.Join(c.After, " ")}, "\t"))
		}
	}
	return nil
}

// printEdges writes a graph in a language for graphs. Prints are no part of it.
func (a *app) printEdges(run *ci.PipelineRun, head, node, edge, foot string) {
	var b strings.Builder
	b.WriteString(head + "\n")
	for i := range run.Calls {
		c := &run.Calls[i]
		if c.Kind == ci.CallPrint {
			continue
		}
		label := strings.Map(func(r rune) rune {
			if r == '"' || r == '\\' {
				return '\''
			}
			return r
		}, nameOfCall(c)+" "+string(c.Outcome))
		fmt.Fprintf(&b, node, dotless(c.ID), label)
		for _, before := range c.After {
			fmt.Fprintf(&b, edge, dotless(before), dotless(c.ID))
		}
	}
	fmt.Fprintln(a.Out, strings.TrimRight(b.String()+foot, "\n"))
}

// dotless makes an id that every language of graphs takes.
func dotless(id string) string { return strings.ReplaceAll(id, ".", "_") }

// printTree indents each call by how many others it stands behind.
func (a *app) printTree(run *ci.PipelineRun) {
	a.printPipelineRuns([]ci.PipelineRun{*run})
	depth := map[string]int{}
	for i := range run.Calls {
		c := &run.Calls[i]
		for _, before := range c.After {
			depth[c.ID] = max(depth[c.ID], depth[before]+1)
		}
		mark, how := "·", "waits"
		switch {
		case c.Done && c.Outcome == ci.OutcomeSucceeded:
			mark, how = "✓", ""
		case c.Done:
			mark, how = "✗", endOfCall(c)
		}
		if c.Reused {
			how = "reused"
		}
		fmt.Fprintf(a.Out, "%s%s %s  %s %s\n", strings.Repeat("  ", min(depth[c.ID], 20)), mark, a.outStyle(bold, nameOfCall(c)),
			a.outStyle(dim, a.took(c).Round(100*time.Millisecond).String()), how)
	}
}

// took is how long a call took, or has taken so far.
func (a *app) took(c *ci.PipelineCall) time.Duration {
	if c.Done {
		return max(0, c.Ended.Sub(c.Began))
	}
	return max(0, a.Now().Sub(c.Began))
}
