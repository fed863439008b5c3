package screen

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/terminal"
	"ci/tui/theme"
	"ci/tui/widget"
)

// Field is one question of a form.
type Field struct {
	// Name is the key of its answer, Label what people see; "" is Name.
	Name, Label string
	// Hint explains it.
	Hint string
	// Choices makes it one of these; else it is a text.
	Choices []string
	// Required refuses an empty answer.
	Required bool
	Input    widget.Input
	choice   int
}

// Form asks several questions at once.
type Form struct {
	Title string
	// Intro are lines above the fields.
	Intro  []string
	Fields []Field
	// Done takes the answers, by the fields' names.
	Done func(answers map[string]string) tea.Cmd

	at    int
	wrong string
}

// Text is a field of text that begins with a value.
func Text(name, value, hint string) Field {
	return Field{Name: name, Hint: hint, Input: widget.NewInput(value)}
}

// Key takes a key. over says that the form is done with or given up.
func (f *Form) Key(k tea.KeyMsg) (cmd tea.Cmd, over bool) {
	switch k.String() {
	case "esc", "ctrl+c":
		return nil, true
	case "ctrl+s":
		return f.submit()
	case "tab", "down":
		f.at = (f.at + 1) % max(1, len(f.Fields))
	case "shift+tab", "up":
		f.at = (f.at + len(f.Fields) - 1) % max(1, len(f.Fields))
	case "enter":
		if f.at+1 < len(f.Fields) {
			f.at++
			return nil, false
		}
		return f.submit()
	default:
		f.edit(k)
	}
	return nil, false
}

// edit gives a key to the field that is asked.
func (f *Form) edit(k tea.KeyMsg) {
	if f.at >= len(f.Fields) {
		return
	}
	field := &f.Fields[f.at]
	if len(field.Choices) == 0 {
		field.Input.Key(k)
		return
	}
	switch k.String() {
	case "left", "h":
		field.choice = (field.choice + len(field.Choices) - 1) % len(field.Choices)
	case "right", "l", " ":
		field.choice = (field.choice + 1) % len(field.Choices)
	}
}

func (f *Form) submit() (tea.Cmd, bool) {
	answers := map[string]string{}
	for i := range f.Fields {
		field := &f.Fields[i]
		v := field.Input.Value()
		if len(field.Choices) > 0 {
			v = field.Choices[field.choice]
		}
		if v == "" && field.Required {
			f.at, f.wrong = i, field.label()+" is needed."
			return nil, false
		}
		answers[field.Name] = v
	}
	return f.Done(answers), true
}

func (f *Field) label() string {
	if f.Label != "" {
		return f.Label
	}
	return f.Name
}

// View draws the form as a box that fits w by h cells.
func (f *Form) View(t *theme.Theme, w, h int) []string {
	width := min(w-2, 76)
	inner := width - 4
	var lines []string
	for _, s := range f.Intro {
		lines = append(lines, widget.Wrap(terminal.CleanLines(s), inner)...)
	}
	if len(f.Intro) > 0 {
		lines = append(lines, "")
	}
	labels := 0
	for i := range f.Fields {
		labels = max(labels, len([]rune(f.Fields[i].label())))
	}
	labels = min(labels, inner/3)
	room := max(3, h-len(lines)-6) // for fields
	from := max(0, min(f.at-room/2, len(f.Fields)-room))
	for i := from; i < min(len(f.Fields), from+room); i++ {
		lines = append(lines, f.line(t, i, labels, inner))
	}
	if f.at < len(f.Fields) {
		lines = append(lines, "", t.Faint.Render(widget.Fit(terminal.Clean(f.Fields[f.at].Hint), inner)))
	}
	if f.wrong != "" {
		lines = append(lines, t.Bad.Render(widget.Fit(terminal.Clean(f.wrong), inner)))
	}
	lines = append(lines, t.Faint.Render("tab next · enter go on · ctrl+s send · esc leave"))
	return widget.Frame(t.Strong.Clean(f.Title), lines, width)
}

func (f *Form) line(t *theme.Theme, i, labels, inner int) string {
	field, on := &f.Fields[i], i == f.at
	mark, style := "  ", t.Faint
	if on {
		mark, style = "▸ ", t.Accent
	}
	label := field.label()
	if field.Required {
		label += "*"
	}
	room := inner - labels - 4
	value := field.Input.View(room, on)
	if len(field.Choices) > 0 {
		parts := make([]string, len(field.Choices))
		for j, c := range field.Choices {
			parts[j] = " " + c + " "
			if j == field.choice {
				parts[j] = t.Selected.Render("[" + c + "]")
			}
		}
		value = widget.Fit(strings.Join(parts, " "), room)
	}
	return mark + style.Render(widget.Fit(terminal.Clean(label), labels+1)) + " " + value
}
