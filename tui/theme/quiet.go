package theme

import "github.com/charmbracelet/lipgloss"

// bubbletea asks the terminal for its background when it is imported, so every
// verb of a program that has it would begin with an escape sequence and wait for the
// answer. It does not ask when lipgloss has been told. Go initialises
// packages in the order of their paths, dependencies first, so this one, which
// does not import bubbletea, comes before it; TestNoQuestion in e2e holds it.
var _ = quiet()

func quiet() bool {
	lipgloss.SetHasDarkBackground(true)
	return true
}
