package joblist

import (
	"bytes"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/tui/feed"
	"ci/tui/screen"
)

// example is what a new job begins with.
const example = `# A job: a name, and exactly one of git and freestyle. Nothing is stored when
# this file is saved empty, or as it is.
name: hello
freestyle:
  script: |
    echo hello from $CI_JOB
# git:
#   url: https://host/project.git
#   configPath: ci/test.yaml
# parameters:
#   - name: LEVEL
#     default: "1"
#     description: how thorough to be
`

// edit opens a job as it is stored now, and puts it back over that version:
// what somebody else has stored meanwhile is not lost.
func edit(w *screen.World, name string) tea.Cmd {
	load := w.Feed.Job(name)
	return func() tea.Msg {
		m, ok := load().(feed.JobLoaded)
		if !ok || m.Err != nil {
			return screen.Fail{Err: m.Err}
		}
		text, err := w.Tools.WriteJob(m.Job)
		if err != nil {
			return screen.Fail{Err: err}
		}
		return edited{w: w, name: name, owner: m.Job.Owner, version: m.Job.Version, text: text}
	}
}

// create opens an example; the job must not be there yet.
func create(w *screen.World) tea.Cmd {
	return screen.Send(edited{w: w, name: "job", version: -1, text: []byte(example)})
}

// edited is a text that the editor is to be opened with. It is a message, since
// an editor can be opened by the program alone.
type edited struct {
	w       *screen.World
	name    string
	owner   string // stays: the text does not name it
	version int64
	text    []byte
	fault   error // what was wrong with the text
}

// Open implements screen.Opener.
func (e edited) Open() tea.Cmd {
	return e.w.Tools.Edit(e.name+".yaml", e.text, false, func(got []byte, err error) tea.Msg {
		if err != nil {
			return screen.Fail{Err: err}
		}
		if len(bytes.TrimSpace(got)) == 0 || bytes.Equal(got, e.text) {
			return screen.Note{Text: "Nothing was changed."}
		}
		return e.store(got)
	})
}

// store reads and stores what was written. What is not valid can be corrected:
// nobody's typing is thrown away.
func (e edited) store(text []byte) tea.Msg {
	next := e
	next.text = text
	j, err := e.w.Tools.ReadJob(text)
	if err == nil && e.version > 0 && j.Name != e.name {
		err = ci.Errorf(ci.CodeInvalid, "the job is called %s and can't be renamed to %s; a new job can have that name", e.name, j.Name)
	}
	if err == nil {
		j.Owner = e.owner
		err = j.Validate()
	}
	if err != nil {
		return retry(next, err)
	}
	put := e.w.Feed.PutJob(j, e.version)
	return screen.Run{Cmd: func() tea.Msg {
		msg := put()
		if a, ok := msg.(feed.Acted); ok && a.Err != nil {
			return retry(next, a.Err)
		}
		return msg
	}}
}

// retry asks whether the text shall be opened again.
func retry(e edited, err error) tea.Msg {
	e.fault = err
	what := err.Error()
	if ci.CodeOf(err) == ci.CodeStale {
		what = "Somebody else has stored this job meanwhile, so yours was not. Leave with n and edit the new one, or open your text again to copy from it."
	}
	return screen.Confirm{Question: what + "\nEdit the text again?", Yes: screen.Send(e)}
}
