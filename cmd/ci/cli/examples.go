package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// Example is one line of a verb's examples.
type Example struct {
	// Verb is the whole name of the verb, such as "ci job apply".
	Verb string
	// Line is a line of shell script.
	Line string
}

// Examples are the examples of all verbs, in the order of the help, for tests
// that try them out. Verbs without one are returned too, with an empty line.
func Examples() []Example {
	var all []Example
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.RunE != nil && len(cmd.Commands()) == 0 {
			for line := range strings.SplitSeq(cmd.Example, "\n") {
				all = append(all, Example{cmd.CommandPath(), strings.TrimSpace(line)})
			}
		}
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	root := newRoot(&app{IOStreams: System("")})
	visit(root)
	for line := range strings.SplitSeq(root.Example, "\n") {
		all = append(all, Example{root.CommandPath(), strings.TrimSpace(line)})
	}
	return all
}
