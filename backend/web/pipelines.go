package web

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"ci/pkg/ci"
)

func pipelineURL(name string) string { return root + "/pipelines/" + url.PathEscape(name) }

func pipelineRunURL(name string, id int64) string {
	return pipelineURL(name) + "/runs/" + strconv.FormatInt(id, 10)
}

// badge is a state in a word, with its colour and a sign for eyes that don't tell colours.
type badge struct{ Mood, Glyph, Label string }

func badgeOf(r ci.PipelineRun) badge {
	b := badge{Mood: "run", Label: "in progress"}
	switch {
	case r.Outcome == ci.OutcomeSucceeded:
		b.Mood = "good"
	case r.Outcome == ci.OutcomeAborted:
		b.Mood = "off"
	case r.Finished():
		b.Mood = "bad"
	case !r.AbortRequestedAt.IsZero():
		b.Label = "aborting"
	}
	if r.Finished() {
		b.Label = spaced(string(r.Outcome))
	}
	b.Glyph = glyphs[b.Mood]
	return b
}

type pipelinesPage struct {
	Pipelines []ci.Pipeline
	Runs      []ci.PipelineRun
}

// pipelines lists them, and what ran of late.
func (v *visit) pipelines() error {
	ctx := v.r.Context()
	var p pipelinesPage
	var err error
	if p.Pipelines, err = first(1000, v.api.ListPipelines(ctx)); err != nil {
		return err
	}
	if p.Runs, err = first(listed, v.api.ListPipelineRuns(ctx, "", "", "")); err != nil {
		return err
	}
	return v.show("pipelines", frame{Title: "Pipelines", Tab: "pipelines", Live: root + "/live-pipelines", Page: p})
}

type pipelinePage struct {
	*ci.Pipeline
	Runs []ci.PipelineRun
}

func (v *visit) pipeline() error {
	name, err := v.pipelineName()
	if err != nil {
		return err
	}
	ctx := v.r.Context()
	var p pipelinePage
	if p.Pipeline, err = v.api.GetPipeline(ctx, name); err != nil {
		return err
	}
	if p.Runs, err = first(listed, v.api.ListPipelineRuns(ctx, name, "", "")); err != nil {
		return err
	}
	return v.show("pipeline", frame{Title: name, Tab: "pipelines", Live: root + "/live-pipelines?pipeline=" + url.QueryEscape(name), Page: p})
}

func (v *visit) pipelineName() (string, error) {
	name := v.r.PathValue("pipeline")
	if ci.ValidateName(name) != nil {
		return "", ci.Errorf(ci.CodeNotFound, "there is no such pipeline: %.100q can't be a pipeline's name", name)
	}
	return name, nil
}

// pipelineRef is the run of a pipeline that a path names.
func (v *visit) pipelineRef() (name string, id int64, err error) {
	name, id = v.r.PathValue("pipeline"), runID(v.r.PathValue("id"))
	if ci.ValidateName(name) != nil || id == 0 {
		return "", 0, ci.Errorf(ci.CodeNotFound, "there is no such run; its address ends with a pipeline's name, /runs/ and a number")
	}
	return name, id, nil
}

type pipelineRunPage struct {
	*ci.PipelineRun
	Calls   []call
	Asks    []call // those that wait for an answer
	Graph   graph
	Program string
}

// State is the run as a badge shows it.
func (p *pipelineRunPage) State() ci.PipelineRun { return *p.PipelineRun }

// Failed says whether there is something to run again alone.
func (p *pipelineRunPage) Failed() bool { return p.Finished() && p.Outcome != ci.OutcomeSucceeded }

func (v *visit) pipelineRun() error {
	name, id, err := v.pipelineRef()
	if err != nil {
		return err
	}
	ctx := v.r.Context()
	var p pipelineRunPage
	if p.PipelineRun, err = v.api.GetPipelineRun(ctx, name, id); err != nil {
		return err
	}
	if p.Program, err = v.api.PipelineProgram(ctx, name, id); err != nil {
		return err
	}
	p.Calls = callsOf(p.PipelineRun)
	p.Graph = drawn(p.Calls)
	for _, c := range p.Calls {
		if c.Asks() && !p.Finished() {
			p.Asks = append(p.Asks, c)
		}
	}
	f := frame{Title: name + " #" + strconv.FormatInt(id, 10), Tab: "pipelines", Page: &p}
	if !p.Finished() {
		f.Live = pipelineRunURL(name, id) + "/live"
	}
	return v.show("pipelinerun", f)
}

// startPipeline begins a run as the form says.
func (v *visit) startPipeline() (string, error) {
	name, err := v.pipelineName()
	if err != nil {
		return "", err
	}
	parameters := map[string]string{}
	for key, values := range v.r.PostForm {
		if p, ok := strings.CutPrefix(key, "p."); ok {
			parameters[p] = strings.ReplaceAll(values[0], "\r\n", "\n") // forms send line ends so
		}
	}
	r, err := v.api.RunPipeline(v.r.Context(), name, parameters, v.r.PostFormValue("attempt"))
	if err != nil {
		return "", err
	}
	return pipelineRunURL(name, r.ID), nil
}

func (v *visit) abortPipeline() (string, error) {
	name, id, err := v.pipelineRef()
	if err != nil {
		return "", err
	}
	_, err = v.api.AbortPipelineRun(v.r.Context(), name, id)
	return pipelineRunURL(name, id) + "?done=pipeline-aborted", err
}

func (v *visit) rerunPipeline() (string, error) {
	name, id, err := v.pipelineRef()
	if err != nil {
		return "", err
	}
	r, err := v.api.RerunPipeline(v.r.Context(), name, id, v.r.PostFormValue("failed") != "", v.r.PostFormValue("attempt"))
	if err != nil {
		return "", err
	}
	return pipelineRunURL(name, r.ID), nil
}

// answers are what the buttons below a question say.
var answers = map[string]bool{"yes": true, "no": false}

func (v *visit) answerPipeline() (string, error) {
	name, id, err := v.pipelineRef()
	if err != nil {
		return "", err
	}
	approved, ok := answers[v.r.PostFormValue("answer")]
	if !ok {
		return "", ci.Errorf(ci.CodeInvalid, "the answer is neither yes nor no")
	}
	call := v.r.PathValue("call")
	if strings.Trim(call, "0123456789.") != "" {
		return "", ci.Errorf(ci.CodeNotFound, "there is no such question")
	}
	note := strings.TrimSpace(v.r.PostFormValue("note"))
	_, err = v.api.AnswerPipeline(v.r.Context(), name, id, call, approved, note)
	return pipelineRunURL(name, id) + "?done=answered", err
}

// livePipelines tells a list that something on it has changed.
func (v *visit) livePipelines() error {
	name := v.r.URL.Query().Get("pipeline")
	if name != "" && ci.ValidateName(name) != nil {
		return ci.Errorf(ci.CodeNotFound, "there is no such pipeline")
	}
	_, state, err := v.api.WaitPipelineRuns(v.r.Context(), name, listed, "")
	if err != nil {
		return err
	}
	return v.liveWhile(func(ctx context.Context) (changed, over bool, err error) {
		held, cancel := context.WithTimeout(ctx, pingEvery)
		defer cancel()
		_, next, err := v.api.WaitPipelineRuns(held, name, listed, state)
		if held.Err() != nil && ctx.Err() == nil {
			return false, false, nil
		}
		if err == nil {
			state = next
		}
		return err == nil, false, err
	})
}

func sameRun(a, b ci.PipelineRun) bool {
	return a.ID == b.ID && a.Status == b.Status && a.Reason == b.Reason && a.AbortRequestedAt.Equal(b.AbortRequestedAt)
}

// livePipelineRun tells a run's page that something has happened, until the run is done.
func (v *visit) livePipelineRun() error {
	name, id, err := v.pipelineRef()
	if err != nil {
		return err
	}
	run, err := v.api.GetPipelineRun(v.r.Context(), name, id)
	if err != nil {
		return err
	}
	return v.liveWhile(func(ctx context.Context) (changed, over bool, err error) {
		held, cancel := context.WithTimeout(ctx, pingEvery)
		defer cancel()
		next, err := v.api.WaitPipelineRun(held, name, id, run.Progress())
		if held.Err() != nil && ctx.Err() == nil {
			next, err = v.api.GetPipelineRun(ctx, name, id) // nothing was counted, but its reason may read otherwise
		}
		if err != nil {
			return false, false, err
		}
		changed = next.Progress() != run.Progress() || !sameRun(*next, *run)
		run = next
		return changed, next.Finished(), nil
	})
}

// liveWhile sends a change whenever look finds one, until it says that all is over.
func (v *visit) liveWhile(look func(context.Context) (changed, over bool, err error)) error {
	ctx, cancel := v.untilStop()
	defer cancel()
	out := v.events()
	if out.ping() != nil {
		return nil // the reader is gone
	}
	for {
		changed, over, err := look(ctx)
		if err != nil {
			return nil // the reader comes again
		}
		send := out.ping
		if changed {
			send = func() error { return out.send("change", "", true) }
		}
		if send() != nil {
			return nil
		}
		if over {
			_ = out.send("end", "", true) // whoever is gone needs no end
			return nil
		}
		if changed {
			wait(ctx, calm)
		}
	}
}
