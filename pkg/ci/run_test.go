package ci_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

const (
	sha1Hex   = "0123456789abcdef0123456789abcdef01234567"
	sha256Hex = sha1Hex + "0123456789abcdef01234567"
)

func TestTriggerValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   ci.Trigger
		want []string
	}{
		{"freestyle", ci.Trigger{}, nil},
		{"branch", ci.Trigger{BranchName: "feature/x"}, nil},
		{"commit", ci.Trigger{CommitSHA: sha1Hex, Priority: ci.PriorityUrgent}, nil},
		{"sha-256 commit", ci.Trigger{CommitSHA: sha256Hex}, nil},
		{"both", ci.Trigger{CommitSHA: sha1Hex, BranchName: "main"}, []string{"commitSha"}},
		{"short commit", ci.Trigger{CommitSHA: "0123456"}, []string{"commitSha"}},
		{"upper-case commit", ci.Trigger{CommitSHA: strings.ToUpper(sha1Hex)}, []string{"commitSha"}},
		{"commit and newline", ci.Trigger{CommitSHA: sha1Hex + "\n"}, []string{"commitSha"}},
		{"option as branch", ci.Trigger{BranchName: "--upload-pack=x"}, []string{"branchName"}},
		{"priority", ci.Trigger{Priority: "high"}, []string{"priority"}},
		{"key", ci.Trigger{IdempotencyKey: strings.Repeat("k", ci.MaxIdempotencyKey)}, nil},
		{"long key", ci.Trigger{IdempotencyKey: strings.Repeat("k", ci.MaxIdempotencyKey+1)}, []string{"Idempotency-Key"}},
		{"key with newline", ci.Trigger{IdempotencyKey: "a\r\nb"}, []string{"Idempotency-Key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, fieldsOf(t, c.in.Validate()))
		})
	}
}

func TestValidBranch(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"main", "feature/x", "a.b", "v1", "a-b", "größe", "a@b", "$(id)", "a;b", "refsx/y", "'", "日本"} {
		require.True(t, ci.ValidBranch(good), "%q", good)
	}
	for _, bad := range []string{
		"", "-h", "--upload-pack=x", "/a", "a/", "a//b", ".a", "a/.b", "a.", "a..b", "a.lock", "a.lock/b", "a b", "a\tb",
		"a\nb", "a\x00b", "a\x7fb", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a\\b", "a@{b", "@", "HEAD", "refs/heads/main",
		"a\u0085b", "a\xffb", strings.Repeat("x", 251),
	} {
		require.False(t, ci.ValidBranch(bad), "%q", bad)
	}
}

// TestHostileBranches feeds strings that broke other programs, and asks git(1)
// about every name that we would hand to it.
func TestHostileBranches(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../../shared/data/blns/blns.json")
	if err != nil {
		t.Skip("../shared/data/blns is not here")
	}
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not here")
	}
	var names []string
	require.NoError(t, json.Unmarshal(data, &names))
	require.Greater(t, len(names), 100)
	taken := 0
	for _, name := range names {
		if !ci.ValidBranch(name) {
			continue
		}
		taken++
		out, err := exec.Command(git, "check-ref-format", "--branch", name).CombinedOutput()
		require.NoError(t, err, "%q: %s", name, out)
	}
	require.Positive(t, taken, "some of these names are fine")
}

func FuzzValidBranch(f *testing.F) {
	for _, seed := range []string{"main", "a/b", "-h", "a..b", "a.lock", "@{", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !ci.ValidBranch(name) {
			return
		}
		require.NotContains(t, name, "..")
		require.False(t, strings.HasPrefix(name, "-"))
		require.False(t, strings.ContainsAny(name, " \n\r\t\x00~^:?*[\\"))
	})
}
