// Package theme is how the terminal UI looks: which colours mean what, on a
// light or a dark ground, with 16, 256 or all colours, or none. lipgloss picks
// the colours; they are turned into SGR once, since a frame uses them often.
package theme

import (
	"io"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"ci/pkg/ci"
	"ci/pkg/terminal"
)

// Style dyes text. Its zero value leaves it as it is.
type Style struct{ open, end string }

// Render dyes a text that is fit for a terminal already.
func (s Style) Render(text string) string {
	if s.open == "" || text == "" {
		return text
	}
	return s.open + text + s.end
}

// Clean dyes foreign text after it has been made harmless.
func (s Style) Clean(text string) string { return s.Render(terminal.Clean(text)) }

// Theme is one look.
type Theme struct {
	Text, Strong, Faint, Accent              Style
	Good, Bad, Warn, Odd                     Style
	Head, Tab, TabOn, Selected, Key          Style
	Banner, Note, Match, MatchNow, Bar, Rest Style

	// Profile and Dark say for which terminal it was made.
	Profile termenv.Profile
	Dark    bool
}

// tone is one colour in all depths, for a light and a dark ground. 16 colours
// are the terminal's own, which its user has chosen to be readable.
type tone struct{ light, dark lipgloss.CompleteColor }

func colour(true24, c256, c16 string) lipgloss.CompleteColor {
	return lipgloss.CompleteColor{TrueColor: true24, ANSI256: c256, ANSI: c16}
}

// New makes the look for a terminal of this many colours and ground.
func New(p termenv.Profile, dark bool) *Theme {
	r := lipgloss.NewRenderer(io.Discard, termenv.WithProfile(p))
	r.SetColorProfile(p)
	r.SetHasDarkBackground(dark)
	var (
		faint  = tone{colour("#6b7280", "243", "8"), colour("#8b93a1", "246", "8")}
		accent = tone{colour("#0b5cad", "25", "4"), colour("#7cc4ff", "117", "14")}
		good   = tone{colour("#1a7f37", "28", "2"), colour("#57d38c", "78", "10")}
		bad    = tone{colour("#c21f2c", "160", "1"), colour("#ff7b72", "210", "9")}
		warn   = tone{colour("#8a5a00", "94", "3"), colour("#f2c55c", "221", "11")}
		odd    = tone{colour("#8431b8", "97", "5"), colour("#d2a8ff", "183", "13")}
		ground = tone{colour("#dbe7f5", "189", "7"), colour("#27405c", "24", "4")}
		strip  = tone{colour("#e9ecf0", "254", "7"), colour("#23272e", "236", "8")}
		hit    = tone{colour("#ffe08a", "222", "3"), colour("#6b5300", "58", "3")}
		hitNow = tone{colour("#ffb000", "214", "11"), colour("#ffd33d", "220", "11")}
		rest   = tone{colour("#d0d7de", "252", "7"), colour("#3d444d", "239", "8")}
		black  = lipgloss.CompleteColor{TrueColor: "#000000", ANSI256: "16", ANSI: "0"}
	)
	fg := func(t tone) lipgloss.Style { return r.NewStyle().Foreground(t.pick(dark)) }
	t := &Theme{
		Profile: p, Dark: dark,
		Strong: cut(r.NewStyle().Bold(true)), Faint: cut(fg(faint)), Accent: cut(fg(accent)),
		Good: cut(fg(good)), Bad: cut(fg(bad).Bold(true)), Warn: cut(fg(warn)), Odd: cut(fg(odd)),
		Head: cut(fg(faint).Bold(true)), Tab: cut(fg(faint)), TabOn: cut(fg(accent).Bold(true).Underline(true)),
		Selected: cut(r.NewStyle().Background(ground.pick(dark)).Bold(true)), Key: cut(fg(accent).Bold(true)),
		Banner: cut(r.NewStyle().Background(bad.pick(dark)).Foreground(onBad(dark)).Bold(true)),
		Note:   cut(r.NewStyle().Background(strip.pick(dark))),
		Match:  cut(r.NewStyle().Background(hit.pick(dark))), MatchNow: cut(r.NewStyle().Background(hitNow.pick(dark)).Foreground(black)),
		Bar: cut(fg(accent)), Rest: cut(fg(rest)),
	}
	if p == termenv.Ascii { // no colours: attributes alone carry the meaning
		t.attributes()
	}
	return t
}

func (t tone) pick(dark bool) lipgloss.CompleteColor {
	if dark {
		return t.dark
	}
	return t.light
}

// onBad is the colour of text on the banner's red: black on the light red of dark grounds.
func onBad(dark bool) lipgloss.CompleteColor {
	if dark {
		return colour("#000000", "16", "0")
	}
	return colour("#ffffff", "231", "15")
}

// attributes are SGR's bold, faint, underlined and reverse, which are no colours.
func (t *Theme) attributes() {
	sgr := func(n string) Style { return Style{"\x1b[" + n + "m", "\x1b[0m"} }
	t.Strong, t.Bad, t.Head, t.Key = sgr("1"), sgr("1"), sgr("1"), sgr("1")
	t.TabOn, t.Selected, t.Banner, t.MatchNow = sgr("1;4"), sgr("7"), sgr("1;7"), sgr("7")
	t.Match = sgr("4")
}

// cut takes the SGR around a text out of a lipgloss style.
func cut(s lipgloss.Style) Style {
	open, end, ok := strings.Cut(s.Render("x"), "x")
	if !ok {
		return Style{}
	}
	return Style{open, end}
}

// Depth is how many colours the environment promises, by the conventions of
// no-color.org, CLICOLOR, COLORTERM and terminfo's names.
func Depth(env func(string) string) termenv.Profile {
	term := env("TERM")
	switch {
	case env("NO_COLOR") != "" || term == "dumb" || env("CLICOLOR") == "0":
		return termenv.Ascii
	case env("COLORTERM") == "truecolor" || env("COLORTERM") == "24bit" || strings.HasSuffix(term, "-direct"):
		return termenv.TrueColor
	case strings.Contains(term, "256color") || env("COLORTERM") != "":
		return termenv.ANSI256
	}
	return termenv.ANSI
}

// Ground says whether the environment knows the terminal to be dark: some
// terminals set COLORFGBG to "foreground;background" in the 16 colours.
func Ground(env func(string) string) (dark, known bool) {
	v := env("COLORFGBG")
	i := strings.LastIndexByte(v, ';')
	if i < 0 {
		return true, false
	}
	bg := v[i+1:]
	return bg != "7" && bg != "15", true
}

// State names a run's outcome, or else its phase.
func (t *Theme) State(r *ci.Run) string {
	if r.Done() {
		return string(r.Outcome)
	}
	if !r.AbortRequestedAt.IsZero() {
		return "aborting"
	}
	return string(r.Phase)
}

// StateStyle is the colour of State.
func (t *Theme) StateStyle(r *ci.Run) Style {
	switch {
	case !r.Done() && r.Phase == ci.PhaseQueued, r.Outcome == ci.OutcomeAborted:
		return t.Faint
	case !r.Done():
		return t.Accent
	case r.Outcome == ci.OutcomeSucceeded:
		return t.Good
	case r.Outcome == ci.OutcomeFailed:
		return t.Bad
	case r.Outcome == ci.OutcomeTimedOut:
		return t.Warn
	}
	return t.Odd
}

// Glyph is a sign for a run's state, which never stands without the word.
func (t *Theme) Glyph(r *ci.Run) string {
	switch {
	case !r.Done() && (r.Phase == ci.PhaseQueued || r.Phase == ci.PhasePlanning):
		return "○"
	case !r.Done():
		return "●"
	case r.Outcome == ci.OutcomeSucceeded:
		return "✓"
	case r.Outcome == ci.OutcomeAborted:
		return "■"
	}
	return "✗"
}
