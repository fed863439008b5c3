package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// Where docs/security.md has the table.
const (
	tableBegins = "<!-- attacks: written by go test ./e2e/attack -run TestTable -update -->\n"
	tableEnds   = "<!-- attacks end -->\n"
)

func table() string {
	var b strings.Builder
	n := 0
	for _, c := range chapters() {
		fmt.Fprintf(&b, "\n**%s**\n\n| | what is tried | what stops it | test: `TestAttacks/…` |\n|---|---|---|---|\n", c.title)
		for _, a := range c.attacks {
			n++
			fmt.Fprintf(&b, "| %d | %s | %s | `%s` |\n", n, a.what, a.stops, a.name)
		}
	}
	b.WriteString("\n")
	return b.String()
}

// TestTable compares the page with the tests, row by row, in both directions.
func TestTable(t *testing.T) {
	t.Parallel()
	root, err := rig.Root()
	require.NoError(t, err)
	path := filepath.Join(root, "docs", "security.md")
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(page), tableBegins)
	require.True(t, ok, "docs/security.md has no table of attacks")
	written, after, ok := strings.Cut(rest, tableEnds)
	require.True(t, ok, "the table of attacks has no end")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(before+tableBegins+table()+tableEnds+after), 0o644))
		return
	}
	require.Equal(t, table(), written, "the table is not that of the tests; go test ./e2e/attack -run TestTable -update writes it")
}
