package plain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
)

func (t *Talk) pipelines(words []string) error {
	all := t.feed.LookAtPipelines()
	if all.Err != nil {
		return all.Err
	}
	for i := range all.List {
		line := all.List[i].Name + ", never ran"
		for k := range all.Runs {
			if r := &all.Runs[k]; r.Pipeline == all.List[i].Name {
				line = r.Pipeline + ", last run " + t.pipelineLine(r)
				break
			}
		}
		if holds(line, words) {
			t.say("%s", line)
		}
	}
	if len(all.List) == 0 {
		t.say("No pipelines.")
	}
	return nil
}

// pipelineLine says what there is to know of a run of a pipeline in a line.
func (t *Talk) pipelineLine(r *ci.PipelineRun) string {
	line := stateOf(feed.PipelineAsRun(r)) + " " + feed.PipelineRef(r) + ", " + terminal.Age(t.now(), r.Triggered) + ", took " + terminal.Duration(feed.PipelineTook(r, t.now()))
	if r.Reason != "" {
		line += ": " + r.Reason
	}
	return line
}

// pipelineRun loads the run that an argument names.
func (t *Talk) pipelineRun(arg string) (*ci.PipelineRun, error) {
	r, err := ref(arg)
	if err != nil {
		return nil, err
	}
	return t.feed.LookAtPipeline(r.Job, r.Run)
}

func (t *Talk) pipeline(args []string) error {
	r, err := t.pipelineRun(args[0])
	if err != nil {
		return err
	}
	t.say("%s", t.pipelineLine(r))
	for _, name := range slices.Sorted(maps.Keys(r.Parameters)) {
		t.say("Parameter %s: %s", name, r.Parameters[name])
	}
	for i := range r.Calls {
		c := &r.Calls[i]
		line := "Step " + c.ID + ", " + feed.CallName(c) + ": " + feed.CallState(c)
		if c.Run != nil {
			line += ", run " + c.Run.String()
		}
		if c.By != "" {
			line += ", by " + c.By
		}
		if len(c.After) > 0 {
			line += ", after " + strings.Join(c.After, " and ")
		}
		if c.Reason != "" {
			line += ": " + c.Reason
		}
		t.say("%s", line)
	}
	return nil
}

func (t *Talk) start(args []string) error {
	parameters := map[string]string{}
	for _, a := range args[1:] {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=VALUE", a)
		}
		parameters[name] = value
	}
	return t.did(t.feed.RunPipeline(args[0], parameters, ""))
}

func (t *Talk) approve(args []string) error { return t.answerTo(args, true, "Approve") }
func (t *Talk) reject(args []string) error  { return t.answerTo(args, false, "Reject") }

// answerTo answers what a run asks: the step that is named, or the only one that waits.
func (t *Talk) answerTo(args []string, yes bool, verb string) error {
	r, err := t.pipelineRun(args[0])
	if err != nil {
		return err
	}
	var open []*ci.PipelineCall
	for i := range r.Calls {
		if c := &r.Calls[i]; feed.Asks(c) && (len(args) == 1 || c.ID == args[1]) {
			open = append(open, c)
		}
	}
	switch {
	case len(open) == 0:
		return fmt.Errorf("nothing like that waits for an answer in %s", args[0])
	case len(open) > 1:
		return fmt.Errorf("several steps wait for an answer; say which: %s or %s", open[0].ID, open[1].ID)
	case !t.sure(verb + " " + open[0].Title + "?"):
		return nil
	}
	return t.did(t.feed.AnswerPipeline(r.Pipeline, r.ID, open[0].ID, yes, ""))
}

func (t *Talk) rerun(args []string) error {
	r, err := ref(args[0])
	if err != nil {
		return err
	}
	all := len(args) > 1 && args[1] == "all"
	question := "Run again what failed in " + args[0] + "?"
	if all {
		question = "Run all of " + args[0] + " again?"
	}
	if !t.sure(question) {
		return nil
	}
	return t.did(t.feed.RerunPipeline(r.Job, r.Run, !all, ""))
}

func (t *Talk) stop(args []string) error {
	r, err := ref(args[0])
	if err != nil || !t.sure("Abort "+args[0]+" and all that it has triggered?") {
		return err
	}
	return t.did(t.feed.AbortPipelineRun(r.Job, r.Run))
}
