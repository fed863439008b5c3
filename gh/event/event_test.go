package event

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

const sha, other = "0123456789012345678901234567890123456789", "abcdefabcdefabcdefabcdefabcdefabcdefabcd"

// corpus is where recorded deliveries lie beside the repository.
func corpus(t *testing.T, parts ...string) string {
	t.Helper()
	for _, up := range []string{"../../../shared/data", "../../../../shared/data"} { // the second from a worktree
		dir := filepath.Join(append([]string{up}, parts...)...)
		if found, err := os.Stat(dir); err == nil && found.IsDir() {
			return dir
		}
	}
	t.Skipf("SKIPPED: the recorded deliveries are not here: %v", parts)
	return ""
}

// Every recorded delivery is something to do, or a sentence that says why it is not.
func TestEveryRecordedDelivery(t *testing.T) {
	t.Parallel()
	count := map[ci.EventKind]int{}
	read := func(kind ci.ForgeKind, path, name string) {
		body, err := os.ReadFile(path)
		require.NoError(t, err)
		if !json.Valid(body) {
			t.Logf("%s is no JSON", path)
		}
		e := Parse(kind, name, body)
		require.True(t, (e.Kind == "") == (e.Ignored != ""), "%s: %+v", path, e)
		count[e.Kind]++
	}
	dir := corpus(t, "github-webhooks")
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		read(ci.ForgeGitHub, f, filepath.Base(filepath.Dir(f)))
	}
	for _, forge := range []ci.ForgeKind{ci.ForgeGitea, ci.ForgeGitLab, ci.ForgeGitHub} {
		files, err := filepath.Glob(filepath.Join(corpus(t, "forge-webhooks", "testdata"), string(forge), "*.json"))
		require.NoError(t, err)
		for _, f := range files {
			name := strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(filepath.Base(f), ".json"), "-event"), "-", "_")
			read(forge, f, name)
		}
	}
	t.Log(count)
	require.Positive(t, count[ci.EventPush])
	require.Positive(t, count[ci.EventPullRequest])
	require.Positive(t, count[ci.EventRelease])
}

func TestParse(t *testing.T) {
	t.Parallel()
	const repo = `"repository":{"id":7,"full_name":"octo/hello"},"sender":{"id":3,"login":"alice"},"installation":{"id":5}`
	pull := func(action, head string) string {
		return `{"action":"` + action + `",` + repo + `,"pull_request":{"number":4,"head":{"ref":"topic","sha":"` + sha + `","repo":` + head + `},"base":{"ref":"main","sha":"` + other + `","repo":{"id":7}}}}`
	}
	comment := func(text string) string {
		b, _ := json.Marshal(text)
		return `{"action":"created",` + repo + `,"issue":{"number":4,"pull_request":{}},"comment":{"body":` + string(b) + `,"user":{"id":3}}}`
	}
	check := func(action, external, identifier string) string {
		return `{"action":"` + action + `",` + repo + `,"check_run":{"name":"unit","external_id":"` + external + `","head_sha":"` + sha + `"},"requested_action":{"identifier":"` + identifier + `"}}`
	}
	push := func(ref, after string) string {
		return `{"ref":"` + ref + `","before":"` + other + `","after":"` + after + `","head_commit":{"id":"` + after + `","message":"x"},` + repo + `}`
	}
	for name, c := range map[string]struct {
		event, body string
		want        func(e Event) bool
	}{
		"push": {"push", push("refs/heads/main", sha), func(e Event) bool {
			return e.Kind == ci.EventPush && e.Branch == "main" && e.HeadSHA == sha && e.Before == other && e.Installation == 5
		}},
		"tag":           {"push", push("refs/tags/v1", sha), func(e Event) bool { return e.Kind == ci.EventTag && e.Tag == "v1" && e.Branch == "" }},
		"deleted":       {"push", push("refs/heads/main", strings.Repeat("0", 40)), func(e Event) bool { return strings.Contains(e.Ignored, "was deleted") }},
		"option branch": {"push", push("refs/heads/-h", sha), func(e Event) bool { return strings.Contains(e.Ignored, "refused here") }},
		"upload-pack":   {"push", push("refs/heads/--upload-pack=x", sha), func(e Event) bool { return e.Kind == "" }},
		"newline":       {"push", push(`refs/heads/a\nb`, sha), func(e Event) bool { return e.Kind == "" }},
		"no commit":     {"push", push("refs/heads/main", "--output=x"), func(e Event) bool { return strings.Contains(e.Ignored, "no full commit id") }},
		"opened": {"pull_request", pull("opened", `{"id":7}`), func(e Event) bool {
			return e.Kind == ci.EventPullRequest && e.Pull == 4 && !e.Fork && e.Base == "main" && e.Branch == "topic"
		}},
		"fork":            {"pull_request", pull("synchronize", `{"id":8}`), func(e Event) bool { return e.Fork }},
		"deleted fork":    {"pull_request", pull("reopened", `null`), func(e Event) bool { return e.Fork }},
		"labeled":         {"pull_request", pull("labeled", `{"id":7}`), func(e Event) bool { return e.Kind == "" }},
		"closed":          {"pull_request", pull("closed", `{"id":7}`), func(e Event) bool { return e.Closed }},
		"run":             {"issue_comment", comment("/ci run"), func(e Event) bool { return e.Wish == WishRun && e.Pull == 4 }},
		"run one":         {"issue_comment", comment(" /ci run unit\nthanks"), func(e Event) bool { return e.Only == "unit" }},
		"approve":         {"issue_comment", comment("/ci approve ABCDEF1"), func(e Event) bool { return e.Wish == WishApprove && e.HeadSHA == "abcdef1" }},
		"talk":            {"issue_comment", comment("please /ci run"), func(e Event) bool { return e.Kind == "" }},
		"another command": {"issue_comment", comment("/ci $(id)"), func(e Event) bool { return e.Kind == "" }},
		"re-run":          {"check_run", check("rerequested", "12", ""), func(e Event) bool { return e.Wish == WishRerun && e.Run == 12 }},
		"abort":           {"check_run", check("requested_action", "12", "abort"), func(e Event) bool { return e.Wish == WishAbort && e.Run == 12 }},
		"foreign check":   {"check_run", check("rerequested", "x", ""), func(e Event) bool { return strings.Contains(e.Ignored, "not of a run of this server") }},
		"foreign action":  {"check_run", check("requested_action", "12", "fix"), func(e Event) bool { return e.Kind == "" }},
		"no repository":   {"push", `{"ref":"refs/heads/main","after":"` + sha + `"}`, func(e Event) bool { return strings.Contains(e.Ignored, "no repository") }},
		"no JSON":         {"push", `nonsense`, func(e Event) bool { return strings.Contains(e.Ignored, "not the JSON") }},
		"trailing JSON":   {"push", push("refs/heads/main", sha) + "{}", func(e Event) bool { return e.Kind == "" }},
		"another event":   {"star", `{}`, func(e Event) bool { return strings.Contains(e.Ignored, "star") }},
	} {
		e := Parse(ci.ForgeGitHub, c.event, []byte(c.body))
		require.True(t, c.want(e), "%s: %+v", name, e)
	}
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		globs string
		name  string
		yes   bool
	}{
		{"", "anything", true},
		{"main", "main", true},
		{"main", "mainly", false},
		{"release/*", "release/1", true},
		{"release/*", "release/1/2", false},
		{"src/**", "src/a/b.go", true},
		{"src/** !src/doc/**", "src/doc/x.md", false},
		{"!docs/**", "main.go", true},
		{"!docs/**", "docs/a", false},
		{"!docs/** docs/keep.md", "docs/keep.md", true},
	} {
		require.Equal(t, c.yes, Accepts(strings.Fields(c.globs), c.name), "%s against %s", c.name, c.globs)
	}
}
