package joblist

import (
	"bytes"
	"fmt"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
	"ci/tui/runlist"
	"ci/tui/screen"
	"ci/tui/widget"
)

// secrets lists the names of a job's secrets. Values go in and never come out.
type secrets struct {
	world *screen.World
	job   string
	table widget.Table
	err   error
}

var (
	keySet      = screen.Bind("set a value", "s", "enter")
	keyAdd      = screen.Bind("new secret", "n")
	keySetInEd  = screen.Bind("set it in the editor", "e")
	keyDeleteIt = screen.Bind("delete", "X")
)

func newSecrets(w *screen.World, job string) *secrets {
	return &secrets{world: w, job: job, table: widget.Table{Theme: w.Theme, Empty: "Loading …", Columns: []widget.Column{
		{Head: "SECRET", Flex: true}, {Head: "VERSION", Right: true}, {Head: "SET", Right: true}, {Head: "BY", Flex: true},
	}}}
}

// Title implements screen.Screen.
func (s *secrets) Title() string { return "Secrets of " + s.job }

// Init implements screen.Screen.
func (s *secrets) Init() tea.Cmd { return s.world.Feed.Secrets(s.job) }

// Close implements screen.Screen.
func (s *secrets) Close() {}

// Typing implements screen.Screen.
func (s *secrets) Typing() bool { return false }

// Keys implements screen.Screen.
func (s *secrets) Keys() []key.Binding {
	return append([]key.Binding{keySet, keyAdd, keySetInEd, keyDeleteIt}, runlist.ScrollKeys()...)
}

// Update implements screen.Screen.
func (s *secrets) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case feed.SecretsLoaded:
		if m.Job == s.job {
			s.take(m)
		}
	case feed.Acted:
		return s.Init()
	case tea.KeyMsg:
		return s.key(m)
	}
	return nil
}

func (s *secrets) take(m feed.SecretsLoaded) {
	if s.err = m.Err; m.Err != nil {
		return
	}
	s.table.Empty = "The job has no secrets; n makes one. A job file names those it wants in env."
	var rows []widget.Row
	for _, x := range m.Secrets {
		rows = append(rows, widget.Row{ID: x.Name, Cells: []widget.Cell{
			{Text: x.Name, Style: s.world.Theme.Strong}, {Text: fmt.Sprint(x.Version)}, {Text: terminal.Age(s.world.Now(), x.UpdatedAt)}, {Text: x.UpdatedBy},
		}})
	}
	s.table.SetRows(rows)
}

func (s *secrets) key(m tea.KeyMsg) tea.Cmd {
	name := s.table.Selected()
	switch {
	case m.String() == "esc":
		return screen.Send(screen.Back{})
	case key.Matches(m, keyAdd):
		return s.ask("")
	case name == "":
		return nil
	case key.Matches(m, keySet):
		return s.ask(name)
	case key.Matches(m, keySetInEd):
		return screen.Send(secretText{s.world, s.job, name})
	case key.Matches(m, keyDeleteIt):
		return screen.Send(screen.Confirm{Question: "Delete secret " + name + " of " + s.job + "? Runs that want it fail then.", Yes: s.world.Feed.DeleteSecret(s.job, name)})
	}
	runlist.Scroll(&s.table, m)
	return nil
}

// ask asks for a value, and for a name when there is none yet. What is typed is not shown.
func (s *secrets) ask(name string) tea.Cmd {
	f := &screen.Form{Title: "Set secret " + name}
	if name == "" {
		f.Title = "New secret"
		field := screen.Text("name", "", "letters, digits and _; the script finds it in its environment under this name")
		field.Required = true
		f.Fields = append(f.Fields, field)
	}
	value := screen.Field{Name: "value", Hint: "what you type is not shown", Required: true}
	value.Input.Hidden = true
	f.Fields = append(f.Fields, value)
	f.Done = func(a map[string]string) tea.Cmd {
		if name != "" {
			a["name"] = name
		}
		return put(s.world, s.job, a["name"], a["value"])
	}
	return screen.Send(screen.Ask{Form: f})
}

func put(w *screen.World, job, name, value string) tea.Cmd {
	if err := ci.ValidateSecret(name, value); err != nil {
		return screen.Send(screen.Fail{Err: err})
	}
	return w.Feed.PutSecret(job, name, value)
}

// secretText is a secret that is to be written in the editor, from nothing: its
// old value is not to be had.
type secretText struct {
	w         *screen.World
	job, name string
}

// Open implements screen.Opener.
func (x secretText) Open() tea.Cmd {
	return x.w.Tools.Edit(x.name, nil, true, func(got []byte, err error) tea.Msg {
		switch value := bytes.TrimSuffix(got, []byte("\n")); { // editors end files with a line end
		case err != nil:
			return screen.Fail{Err: err}
		case len(value) == 0:
			return screen.Note{Text: "The file was empty; the secret stays as it is."}
		default:
			return screen.Run{Cmd: put(x.w, x.job, x.name, string(value))}
		}
	})
}

// View implements screen.Screen.
func (s *secrets) View(w, h int) string {
	head := s.world.Theme.Faint.Render("Values are never shown.")
	if s.err != nil {
		head = s.world.Theme.Bad.Clean(s.err.Error())
	}
	return widget.Fit(head, w) + "\n" + s.table.View(w, h-1)
}
