package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// beside finds a folder of the recorded inputs; without them the test is skipped, and says so.
func beside(t *testing.T, parts ...string) string {
	t.Helper()
	for _, up := range []string{"../../../shared/data", "../../../../shared/data"} { // the second from a worktree
		dir := filepath.Join(append([]string{up}, parts...)...)
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	t.Skipf("SKIPPED: the recorded inputs are not here: %v", parts)
	return ""
}

// Every recorded delivery of the other forges is taken, and something comes of
// it, or a reason for nothing; one that is not authentic is refused.
func TestEveryRecordedDeliveryOfOtherForges(t *testing.T) {
	t.Parallel()
	const secret = "between the two of us"
	for kind, headers := range map[ci.ForgeKind]func(h http.Header, name string, n int, body []byte){
		ci.ForgeGitea: func(h http.Header, name string, n int, body []byte) {
			h.Set("X-Gitea-Event", name)
			h.Set("X-Gitea-Delivery", fmt.Sprint("gitea-", n))
			h.Set("X-Gitea-Signature", mac(secret, body))
		},
		ci.ForgeGitLab: func(h http.Header, name string, n int, _ []byte) {
			h.Set("X-Gitlab-Event", name)
			h.Set("X-Gitlab-Event-Uuid", fmt.Sprint("gitlab-", n))
			h.Set("X-Gitlab-Token", secret)
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			files, err := filepath.Glob(filepath.Join(beside(t, "forge-webhooks", "testdata", string(kind)), "*.json"))
			require.NoError(t, err)
			require.NotEmpty(t, files)
			w := listen(t)
			_, _, err = w.Secrets.Forges.Put(w.ctx, ci.ForgeAccess{
				Forge: ci.Forge{Name: "other", Kind: kind, URL: "https://forge.example.org"}, ForgeKeys: ci.ForgeKeys{Token: "token", WebhookSecret: secret},
			}, 0)
			require.NoError(t, err)
			url := strings.TrimSuffix(w.url, "github") + "other"
			for n, f := range files {
				body, err := os.ReadFile(f)
				require.NoError(t, err)
				name := strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(filepath.Base(f), ".json"), "-event"), "-", "_")
				status, says := w.send(url, body, func(h http.Header) {
					headers(h, name, n, body)
					for _, proof := range []string{"X-Gitlab-Token", "X-Gitea-Signature"} {
						if v := h.Get(proof); v != "" {
							h.Set(proof, flipped(v))
						}
					}
				})
				require.Equal(t, 401, status, "%s: %s", f, says)
				status, says = w.send(url, body, func(h http.Header) { headers(h, name, n, body) })
				require.Equal(t, 202, status, "%s: %s", f, says)
			}
			recorded := w.settled()
			require.NotEmpty(t, recorded)
			for _, h := range recorded {
				require.True(t, len(h.Runs) > 0 || h.Note != "", "%s %s: nothing came of it, and no reason is given", h.Event, h.Action)
			}
		})
	}
}

// flipped is another word of the same length.
func flipped(v string) string {
	if strings.HasSuffix(v, "0") {
		return v[:len(v)-1] + "1"
	}
	return v[:len(v)-1] + "0"
}

// Names and titles that would hurt a shell, git or a page, in every place of an
// event that its sender chooses (S4). Each is taken, none does anything but be a name.
func TestNaughtyNames(t *testing.T) {
	t.Parallel()
	names := []string{"-h", "--upload-pack=touch /tmp/x", "$(id)", "a;b", "a\nb", "`id`", "../../etc", "HEAD", "@{-1}", "refs/heads/x", "a..b", strings.Repeat("x", 4096)}
	text, err := os.ReadFile(filepath.Join(beside(t, "blns"), "blns.json"))
	require.NoError(t, err)
	var list []string
	require.NoError(t, json.Unmarshal(text, &list))
	names = append(names, list...)
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit", Parameters: map[string]string{"PULL": "${pull} into ${base}"}})
	for _, name := range names {
		push, err := json.Marshal(map[string]any{
			"ref": "refs/heads/" + name, "before": strings.Repeat("0", 40), "after": w.main,
			"repository": map[string]any{"id": w.repo.ID, "full_name": "octo/hello"},
			"sender":     map[string]any{"id": 1, "login": name}, "head_commit": map[string]any{"message": name, "author": map[string]any{"name": name}},
		})
		require.NoError(t, err)
		d := w.app.Deliver("push", push)
		require.Equal(t, 202, d.Status, "%q: %s", name, d.Answer)
	}
	branches := map[string]bool{}
	for _, r := range w.runs("unit") {
		branches[r.BranchName] = true
		require.Equal(t, w.main, r.CommitSHA, "what runs is the commit, whatever the branch is called")
	}
	for _, h := range w.settled() {
		require.True(t, len(h.Runs) > 0 || h.Note != "", "%s: nothing came of it, and no reason is given", h.ID)
	}
	delete(branches, "") // a commit whose branch git would not have runs as a commit alone
	for name := range branches {
		require.True(t, ci.ValidBranch(name), "%q", name)
		require.Contains(t, names, name)
	}
	for _, name := range names {
		require.Equal(t, ci.ValidBranch(name), branches[name], "%q", name)
	}
}
