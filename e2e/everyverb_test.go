package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ci/cmd/ci/cli"
)

// TestEveryVerbHasAScenario fails for a verb of ci that no scenario carries out
// but the one that tries the examples.
func TestEveryVerbHasAScenario(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/*.txtar")
	check(t, err)
	var all strings.Builder
	for _, s := range scripts {
		text, err := os.ReadFile(s)
		check(t, err)
		all.Write(text)
	}
	for _, e := range cli.Examples() {
		line := regexp.MustCompile(`(?m)^((! )?(exec|exits \d+) (.*[ ';])?)?` + regexp.QuoteMeta(e.Verb) + `( |'|$)`)
		if !line.MatchString(all.String()) {
			t.Errorf("no scenario of testdata carries out %s", e.Verb)
		}
	}
}
