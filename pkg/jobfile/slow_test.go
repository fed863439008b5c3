package jobfile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHostileRepeats gives the reader the largest file of each odd piece: the
// time must not grow with the square of the size.
func TestHostileRepeats(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{
		"a", "a:\n", "a: b\n", "- ", "- a\n", "[", "[]", "{", "{a: ", "}", "]", ",", "\"", "'", "\"a\" ", "&a ", "*a ", "*a\n", "? ", "? a\n", ": ", "|\n", ">\n", "# c\n", "!", "!!a ", "%", "%a\n",
		"---\n", "...\n", "<<: ", "<<: *a\n", "\n", " ", "\t", "\r", "\r\n", "\\", "~\n", "a: |\n ", "a: \"\n", "@", "`", "\u00a0", "a: &a\n", "- - ", "a: [", "a: {", "\n\n a", "x: >-\n  ",
	} {
		start := time.Now()
		_, err := Parse("x", []byte(strings.Repeat(piece, MaxBytes/len(piece))), nil)
		took := time.Since(start)
		require.Error(t, err)
		if took > 15*time.Second { // what grows with the square takes half a minute, a loaded machine some seconds
			t.Errorf("%q took %s", piece, took)
		}
	}
}

// TestHostileCompose gives the reader Compose files that try to grow.
func TestHostileCompose(t *testing.T) {
	t.Parallel()
	many := func(n int, f func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i))
		}
		return b.String()
	}
	env := "A=" + strings.Repeat("x", 1000) + "\n" + strings.Repeat("A=$A$A\n", 100)
	for name, file := range map[string]string{
		"port ranges":          "services: { s: { image: i, ports: [" + many(3000, func(i int) string { return fmt.Sprintf("'%d-65535', ", i+1) }) + "] } }",
		"services":             "services:\n" + many(2500, func(i int) string { return fmt.Sprintf("  s%d: { image: i }\n", i) }),
		"needs":                "services:\n" + many(1200, func(i int) string { return fmt.Sprintf("  s%d: { image: i, depends_on: [s%d] }\n", i, i+1) }),
		"extends":              "services:\n" + many(1200, func(i int) string { return fmt.Sprintf("  s%d: { extends: s%d }\n", i, i+1) }),
		"variables":            "services: { s: { image: i, command: '" + strings.Repeat("$A", 50_000) + "' } }",
		"open braces":          "services: { s: { image: i, command: '" + strings.Repeat("${A:-", 20_000) + "' } }",
		"merges":               "x-a: &a { a: 1, b: 2 }\nservices: { s: { <<: [" + strings.Repeat("*a, ", 2000) + "] } }",
		"environment":          "services: { s: { image: i, environment: [" + many(4000, func(i int) string { return fmt.Sprintf("A%d=1, ", i) }) + "] } }",
		"env files":            "services: { s: { image: i, env_file: [" + many(3000, func(i int) string { return fmt.Sprintf("e%d, ", i) }) + "] } }",
		"command":              "services: { s: { image: i, command: \"" + strings.Repeat("'a' ", 60_000) + "\" } }",
		"aliases":              "x-a: &a '" + strings.Repeat("x", 200_000) + "'\nservices: { s: { image: i, command: [" + strings.Repeat("*a, ", 900) + "] } }",
		"variables in aliases": "x-a: &a '" + strings.Repeat("x", 200_000) + "$A'\nservices: { s: { image: i, command: [" + strings.Repeat("*a, ", 900) + "] } }",
		"large bases":          "services:\n  b: { image: i, command: ['" + strings.Repeat("x", 200_000) + "'] }\n" + many(30, func(i int) string { return fmt.Sprintf("  s%d: { extends: b }\n", i) }),
		"long keys":            "x-a: &a { " + strings.Repeat("k", 200_000) + ": v }\nservices: { s: { image: i, environment: *a, labels: *a, build: { args: *a }, depends_on: [" + strings.Repeat("*a, ", 400) + "] } }",
		"refused keys":         "services:\n" + many(900, func(i int) string { return fmt.Sprintf("  s%d: { privileged: true, pid: host }\n", i) }),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			reads := 0
			spec, err := Parse("x", []byte("script: x\ncompose: {file: c.yaml}"), func(path string) ([]byte, error) {
				reads++
				if path == "c.yaml" {
					return []byte(file), nil
				}
				return []byte(env), nil
			})
			if took := time.Since(start); took > 20*time.Second { // far above what any takes, far below what growth without bound would
				t.Errorf("took %s", took)
			}
			t.Logf("%d bytes, %s, %d files", len(file), time.Since(start), reads)
			stored, _ := json.Marshal(spec)
			if len(stored) > 2<<20 {
				t.Errorf("the spec has %d bytes", len(stored))
			}
			if err != nil && len(err.Error()) > 64<<10 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}
