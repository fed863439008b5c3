package cli

import "ci/pkg/terminal"

// clean makes foreign text fit for one line of a terminal or one column of a pipe.
func clean(s string) string { return terminal.Clean(s) }

// cleanLines is clean for text of several lines.
func cleanLines(s string) string { return terminal.CleanLines(s) }

// unsafe says whether a terminal would do something else with r than show it.
func unsafe(r rune) bool { return terminal.Unsafe(r) }

// cleanJSON is clean for a JSON document, which stays the same document.
func cleanJSON(s string) string { return terminal.CleanJSON(s) }
