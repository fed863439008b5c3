package jobfile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	docsPage  = "../../docs/job-file.md"
	docsBegin = "<!-- compose keys begin: UPDATE=1 go test ./pkg/jobfile -run TestDocsHaveComposeKeys -->\n"
	docsEnd   = "<!-- compose keys end -->"
)

// words are what the page calls the classes.
var words = map[class]string{refused: "**error**", taken: "yes", noted: "no effect, noted", silent: "no effect"}

// composeTable writes the rules as the page has them, those of keys' values below them.
func composeTable(b *strings.Builder, prefix string, known rules) {
	for _, k := range known.list() {
		r := known[k.name]
		why := r.why
		if r.class == refused {
			why = "it " + why
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", prefix, k.name, words[r.class], why)
		for inner, dot := r.in, "."; inner != nil; inner, dot = inner.each, "[]." {
			if inner.keys != nil {
				composeTable(b, prefix+k.name+dot, inner.keys)
				break
			}
		}
	}
}

func TestDocsHaveComposeKeys(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, part := range []struct {
		title string
		known rules
	}{
		{"Of a service", serviceRules},
		{"Of a volume at the top of a Compose file", volumeRules},
		{"Of a network at the top of a Compose file", networkRules},
	} {
		b.WriteString("\n" + part.title + ":\n\n| key | taken | why, and what instead |\n|---|---|---|\n")
		composeTable(&b, "", part.known)
	}
	b.WriteString("\n")
	page, err := os.ReadFile(docsPage)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(page), docsBegin)
	require.True(t, found, "the page has no place for the table")
	_, after, found := strings.Cut(rest, docsEnd)
	require.True(t, found)
	want := before + docsBegin + b.String() + docsEnd + after
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(docsPage, []byte(want), 0o644)) //nolint:gosec // a page of the project
		return
	}
	require.True(t, want == string(page), "docs/job-file.md does not have Compose's keys as composekeys.go has them; run this test with UPDATE=1")
}

// TestDocsHaveEveryKey wants the page to name every key of the job file's schema.
func TestDocsHaveEveryKey(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(docsPage)
	require.NoError(t, err)
	for line := range strings.Lines(Describe()) {
		if !strings.HasPrefix(line, " ") {
			key, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			require.Contains(t, string(page), "`"+key+"`")
		}
	}
}
