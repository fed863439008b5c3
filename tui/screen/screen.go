// Package screen is what the screens of the terminal UI and the program
// around them agree on: how a screen is drawn and driven, and what it may ask
// for.
package screen

import (
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/tui/feed"
	"ci/tui/theme"
)

// Screen is one view of the terminal UI. It is changed by Update alone, on one goroutine.
type Screen interface {
	// Init is called once when the screen is put up.
	Init() tea.Cmd
	// Update takes a message. Keys come after what is global has been taken out.
	Update(msg tea.Msg) tea.Cmd
	// View draws exactly h lines of w cells.
	View(w, h int) string
	// Title says in a word or two what it shows.
	Title() string
	// Keys are its bindings, most useful first; help, footer and palette are made of them.
	Keys() []key.Binding
	// Typing says that keys are text at the moment, so that none is taken for a command.
	Typing() bool
	// Close is called once when the screen is taken away.
	Close()
}

// World is what all screens share.
type World struct {
	Theme *theme.Theme
	Feed  *feed.Feed
	Tools Tools
	Now   func() time.Time
	// Last is the newest state of the server, owned by the program.
	Last *feed.Snapshot
	// Pipelines is that of the pipelines.
	Pipelines *feed.Pipelines
	// Top is the screen that is seen.
	Top func() Screen
}

// Tools are what a screen needs of the machine it is shown on.
type Tools struct {
	// Copy puts a text on the terminal's clipboard (OSC 52).
	Copy func(text string) error
	// Edit opens a text in the user's editor; secret asks for a file that is in memory only.
	Edit func(name string, text []byte, secret bool, done func([]byte, error) tea.Msg) tea.Cmd
	// WriteJob and ReadJob turn a job into the text that people edit, and back.
	WriteJob func(j *feed.Job) ([]byte, error)
	ReadJob  func(text []byte) (*feed.Job, error)
	// Spill is the folder for console output that is too much for memory.
	Spill string
}

// What a screen may ask the program for, as messages.
type (
	// Push puts a screen on top.
	Push struct{ Screen Screen }
	// Back takes the top screen away.
	Back struct{}
	// Note shows a sentence for a moment.
	Note struct{ Text string }
	// Fail shows an error until a key is pressed.
	Fail struct{ Err error }
	// Confirm asks a yes-or-no question; Yes follows a yes.
	Confirm struct {
		Question string
		Yes      tea.Cmd
	}
	// Ask shows a form.
	Ask struct{ Form *Form }
	// Run has a command carried out.
	Run struct{ Cmd tea.Cmd }
	// Tick comes once a second.
	Tick struct{ At time.Time }
)

// Opener is a message of a thing that only the program can do, since it takes
// the terminal: opening an editor.
type Opener interface{ Open() tea.Cmd }

// Send is a command that sends a message.
func Send(msg tea.Msg) tea.Cmd { return func() tea.Msg { return msg } }

// Bind makes a binding: what the help says, and its keys, the first of which is shown.
func Bind(help string, keys ...string) key.Binding {
	return key.NewBinding(key.WithKeys(keys...), key.WithHelp(shown(keys[0]), help))
}

// shown is how people write a key.
func shown(k string) string {
	names := map[string]string{"enter": "⏎", "up": "↑", "down": "↓", "left": "←", "right": "→", " ": "space", "pgdown": "PgDn", "pgup": "PgUp"}
	if n, ok := names[k]; ok {
		return n
	}
	return k
}
