package runview

import (
	"fmt"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
	"ci/tui/screen"
	"ci/tui/trigger"
)

// Again asks whether a run shall be repeated.
func Again(w *screen.World, r *ci.Run) tea.Cmd { return trigger.Again(w, r) }

// Abort asks whether a run shall be ended.
func Abort(w *screen.World, r *ci.Run) tea.Cmd {
	ref := ci.RunRef{Job: r.Job, Run: r.ID}
	if r.Done() {
		return screen.Send(screen.Note{Text: fmt.Sprintf("%s is done already.", ref)})
	}
	return screen.Send(screen.Confirm{Question: fmt.Sprintf("Abort %s, which is %s?", ref, r.Phase), Yes: w.Feed.Abort(ref)})
}

// edit opens the trigger form with the run's values, once the job is known.
func (v *View) edit() tea.Cmd {
	load := v.world.Feed.Job(v.ref.Job)
	run := v.d.Run
	return func() tea.Msg {
		m, ok := load().(feed.JobLoaded)
		if !ok || m.Err != nil {
			return screen.Fail{Err: m.Err}
		}
		return trigger.Form(v.world, m.Job, run)()
	}
}

func (v *View) resultsKey(m tea.KeyMsg) tea.Cmd {
	switch {
	case scroll(&v.results, m):
		return nil
	case key.Matches(m, keySave):
		return v.save()
	case m.String() == "esc":
		return screen.Send(screen.Back{})
	}
	return nil
}

// save asks where the result under the cursor shall go.
func (v *View) save() tea.Cmd {
	for _, r := range v.d.Results {
		if r.Name != v.results.Selected() {
			continue
		}
		ref := v.ref
		form := &screen.Form{Title: "Download " + r.Name, Intro: []string{fmt.Sprintf("%s, %s", r.ContentType, ci.Bytes(r.Size))}}
		field := screen.Text("path", terminal.FileName(r.Filename, r.Name), "a file that is not there yet; folders are made")
		field.Label, field.Required = "save as", true
		form.Fields = []screen.Field{field}
		form.Done = func(a map[string]string) tea.Cmd {
			return tea.Batch(screen.Send(screen.Note{Text: "Downloading " + r.Name + " …"}), v.world.Feed.Save(ref, r, a["path"]))
		}
		return screen.Send(screen.Ask{Form: form})
	}
	return nil
}
