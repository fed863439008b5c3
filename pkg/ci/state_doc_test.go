package ci_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

const statesDocument = "../../docs/states.md"

// TestStatesDocument compares docs/states.md with the transition table.
// `make gen` runs it with CI_UPDATE=1, which writes the document instead.
func TestStatesDocument(t *testing.T) {
	t.Parallel()
	want := renderStates()
	if os.Getenv("CI_UPDATE") == "1" {
		require.NoError(t, os.WriteFile(statesDocument, []byte(want), 0o644))
	}
	have, err := os.ReadFile(statesDocument)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "docs/states.md is not what the transition table says; run: make gen")
}

func renderStates() string {
	var b strings.Builder
	b.WriteString(statesHead)
	b.WriteString("```mermaid\nstateDiagram-v2\n    direction LR\n")
	fmt.Fprintf(&b, "    [*] --> %s: triggered\n", ci.Phases[0])
	for _, t := range ci.Transitions {
		if t.To.Phase != "" {
			fmt.Fprintf(&b, "    %s --> %s: %s\n", t.From, t.To.Phase, t.By)
		}
	}
	for _, o := range ci.Outcomes {
		for _, p := range ci.PhasesBefore(ci.State{Outcome: o}) {
			fmt.Fprintf(&b, "    %s --> %s\n", p, o)
		}
	}
	for _, o := range ci.Outcomes {
		fmt.Fprintf(&b, "    %s --> [*]\n", o)
	}
	b.WriteString("```\n\n## From one phase to the next\n\n| from | to | who moves it | when |\n|---|---|---|---|\n")
	for _, t := range ci.Transitions {
		if t.To.Phase != "" {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.From, t.To.Phase, t.By, t.When)
		}
	}
	b.WriteString("\n## To the end\n\n| from | outcome | who moves it | when |\n|---|---|---|---|\n")
	for _, t := range ci.Transitions {
		if t.To.Outcome != "" {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.From, t.To.Outcome, t.By, t.When)
		}
	}
	return b.String()
}

const statesHead = `<!-- Written by "make gen" from the transition table in pkg/ci/state.go. Don't edit. -->

# The states of a run

A run is ` + "`in_progress`" + ` or ` + "`done`" + `: that is its status. While it is in progress, its phase says where it stands;
once it is done, its outcome says how it ended. A done run keeps the phase that it ended in, and never changes again.

Each move below is one conditional update of one row. Who finds that the row is no longer in the phase that a move
starts from has lost the race, and drops what it holds. A move that is not listed here does not happen.

`
