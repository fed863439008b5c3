package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
	"ci/pkg/replay"
)

type pipelineCheckOptions struct {
	*app
	dry        bool
	reject     bool
	parameters []string
	outcomes   []string
	results    []string
}

func newPipelineCheck(a *app) *cobra.Command {
	o := &pipelineCheckOptions{app: a}
	cmd := &cobra.Command{
		Use: "check FILE", Aliases: []string{"lint"}, Short: "Check a pipeline's program, or try it with played outcomes; no server is needed",
		Long: "Check the program in FILE; - is standard input. No server is needed. Exits 1 when the program is not valid.\n\n" +
			"With --dry-run it is carried out from its start to its end, but nothing is triggered: runs succeed and approvals are given, unless flags say otherwise. What it would do is printed, and the exit code is that of its outcome.\n\n" +
			"Columns in a pipe, of --dry-run, separated by tabs: id, kind, title, after.",
		Example: "  ci pipeline check release.star\n  ci pipeline check release.star --dry-run -p branch=main --result package:version=2",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.dry, "dry-run", false, "carry it out with played outcomes")
	f.StringArrayVarP(&o.parameters, "param", "p", nil, "give a parameter a value: `NAME=VALUE`; may be repeated")
	f.StringArrayVar(&o.outcomes, "outcome", nil, "let runs of a job end so: `JOB=OUTCOME`; may be repeated")
	f.StringArrayVar(&o.results, "result", nil, "let a job have a result: `JOB:RESULT=TEXT`; may be repeated")
	f.BoolVar(&o.reject, "reject", false, "answer approvals with no")
	return cmd
}

func (o *pipelineCheckOptions) run(ctx context.Context, file string) error {
	text, err := o.readProgram(file)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	if file == "-" {
		name = "stdin"
	}
	in := replay.Input{Name: name, Program: text, Now: o.Now()}
	if !o.dry {
		probe := in
		probe.Probe, probe.Declared = true, true
		if err := replay.Evaluate(probe).Err(); err != nil {
			return &exitError{code: exitFailed, err: err}
		}
		o.note("%s is valid", clean(file))
		return nil
	}
	world, err := o.world()
	if err != nil {
		return err
	}
	if in.Parameters, err = parameters(o.parameters); err != nil {
		return err
	}
	calls, out, err := replay.DryRun(in, world, func(in replay.Input) (*replay.Output, error) { return replay.Evaluate(in), nil })
	if err != nil {
		return err
	}
	return o.report(ctx, calls, out)
}

// world is what flags say of outcomes and results.
func (o *pipelineCheckOptions) world() (replay.Played, error) {
	w := replay.Played{Outcomes: map[string]ci.Outcome{}, Results: map[string]string{}, Reject: o.reject, Now: o.Now()}
	for _, s := range o.outcomes {
		job, outcome, ok := strings.Cut(s, "=")
		if !ok || !known(ci.Outcome(outcome)) {
			return w, usagef("--outcome %q is not JOB=OUTCOME; the outcomes are %v", s, ci.Outcomes)
		}
		w.Outcomes[job] = ci.Outcome(outcome)
	}
	for _, s := range o.results {
		place, text, ok := strings.Cut(s, "=")
		if !ok || !strings.Contains(place, ":") {
			return w, usagef("--result %q is not JOB:RESULT=TEXT", s)
		}
		w.Results[place] = text
	}
	return w, nil
}

func known(o ci.Outcome) bool {
	for _, one := range ci.Outcomes {
		if one == o {
			return true
		}
	}
	return false
}

func (o *pipelineCheckOptions) report(ctx context.Context, calls []replay.Call, out *replay.Output) error {
	if o.wantsJSON() {
		doc, err := json.Marshal(map[string]any{"calls": calls, "outcome": out.Outcome, "reason": out.Reason})
		if err == nil {
			err = o.printJSON(ctx, doc)
		}
		return firstOf(err, func() error { return exitOf(&ci.Run{Outcome: out.Outcome}) })
	}
	for _, c := range calls {
		fmt.Fprintln(o.Out, strings.Join([]string{c.ID, string(c.Kind), clean(c.Title), strings.Join(c.After, " ")}, "\t"))
	}
	if out.Fault {
		return &exitError{code: exitFailed, err: out.Err()}
	}
	o.note("%s %s", out.Outcome, clean(out.Reason))
	return exitOf(&ci.Run{Outcome: out.Outcome})
}

// readAll reads a text to its end.
func readAll(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	return string(b), err
}
