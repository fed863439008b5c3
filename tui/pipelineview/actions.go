package pipelineview

import (
	"fmt"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/google/uuid"

	"ci/pkg/ci"
	"ci/tui/feed"
	"ci/tui/screen"
)

// Abort asks whether a run of a pipeline shall be ended.
func Abort(w *screen.World, r *ci.PipelineRun) tea.Cmd {
	ref := feed.PipelineRef(r)
	if r.Finished() {
		return screen.Send(screen.Note{Text: ref + " is done already."})
	}
	return screen.Send(screen.Confirm{Question: "Abort " + ref + ", and all runs that it has triggered?", Yes: w.Feed.AbortPipelineRun(r.Pipeline, r.ID)})
}

// Again asks whether a run of a pipeline shall be repeated; failed repeats only what did not succeed.
func Again(w *screen.World, r *ci.PipelineRun, failed bool) tea.Cmd {
	ref := feed.PipelineRef(r)
	question := fmt.Sprintf("Run %s again, with the same program and parameters?", ref)
	switch {
	case !r.Finished():
		return screen.Send(screen.Note{Text: ref + " goes on; it can be run again once it is done."})
	case failed && r.Outcome == ci.OutcomeSucceeded:
		return screen.Send(screen.Note{Text: "Nothing of " + ref + " has failed."})
	case failed:
		question = fmt.Sprintf("Run again what failed in %s, and what came after it? What succeeded is reused.", ref)
	}
	// One key for the question: sent twice, it is one run.
	return screen.Send(screen.Confirm{Question: question, Yes: w.Feed.RerunPipeline(r.Pipeline, r.ID, failed, uuid.NewString())})
}

// answer asks for a note on the question under the cursor, or else on the first
// one, and then whether the answer is meant.
func (v *View) answer(yes bool) tea.Cmd {
	open := v.questions()
	if len(open) == 0 {
		return screen.Send(screen.Note{Text: "Nothing waits for an answer."})
	}
	c, verb := open[0], "Reject"
	if yes {
		verb = "Approve"
	}
	name, id, call, title := v.name, v.id, c.ID, c.Title
	f := &screen.Form{Title: verb + " in " + v.Title(), Intro: []string{title}, Fields: []screen.Field{screen.Text("note", "", "why; others see it; it may be empty")}}
	f.Done = func(a map[string]string) tea.Cmd {
		return screen.Send(screen.Confirm{Question: verb + " «" + title + "»?", Yes: v.world.Feed.AnswerPipeline(name, id, call, yes, a["note"])})
	}
	return screen.Send(screen.Ask{Form: f})
}
