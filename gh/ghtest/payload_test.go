package ghtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"
)

// newer are keys that GitHub has added since the examples were kept, or that
// depend on what an example is of: an organisation, a comment on a pull request.
func newer() []string {
	return []string{"allow_forking", "is_template", "topics", "visibility", "installation", "organization", "name", "email", "slug", "client_id", "app_slug", "pull_request", "performed_via_github_app"}
}

// older are keys of examples that this fake leaves out: what depends on a
// licence, a milestone, reactions, or a repository's settings.
func older() []string {
	return []string{"reactions", "license", "organization", "installation", "master_branch", "performed_via_github_app"}
}

// TestPayloads compares what is delivered with what GitHub has delivered: the
// same keys, all the way down.
func TestPayloads(t *testing.T) {
	t.Parallel()
	description := findDescription()
	if description == "" {
		t.Skip("NOT CHECKED: GitHub's webhooks are not on this machine")
	}
	examples := filepath.Join(filepath.Dir(filepath.Dir(description)), "github-webhooks")
	w := setup(t)
	first := w.repo.Push("alice", "main", map[string]string{"a": "1"})
	second := w.repo.Push("alice", "main", map[string]string{"a": "2"})
	w.repo.Tag("alice", "v1", first)
	w.repo.Release("alice", "v1")
	w.repo.Push("alice", "patch", map[string]string{"a": "3"})
	p := w.repo.OpenPull("alice", w.repo, "patch", "main", "Please")
	p.Comment("alice", "/test")
	p.Reopen("alice")
	_, _, err := w.gh.Checks.CreateCheckRun(w.ctx, "octo", "hello", github.CreateCheckRunOptions{Name: "unit", HeadSHA: second})
	require.NoError(t, err)
	run, _ := w.repo.Check(second, "unit")
	w.Rerequest("alice", run)
	w.repo.RerequestSuite("alice", w.app, second)
	w.repo.DeleteBranch("alice", "patch")
	for event, example := range map[string]string{
		"push": "push/with-organization", "pull_request.opened": "pull_request/opened", "pull_request.reopened": "pull_request/reopened",
		"issue_comment.created": "issue_comment/created", "check_run.rerequested": "check_run/completed.1", "check_suite.rerequested": "check_suite/rerequested",
		"installation.created": "installation/created", "create": "create/with-installation", "release.published": "release/published", "delete": "delete/payload",
	} {
		t.Run(event, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join(examples, example+".payload.json"))
			if os.IsNotExist(err) {
				list, _ := filepath.Glob(filepath.Join(examples, filepath.Dir(example), "*.json"))
				require.NotEmpty(t, list, "no example of %s", event)
				raw, err = os.ReadFile(list[0])
			}
			require.NoError(t, err)
			var real map[string]any
			require.NoError(t, json.Unmarshal(raw, &real))
			compareKeys(t, "", real, w.payload(t, event))
		})
	}
}

// payload is the first that was delivered of an event.
func (w *world) payload(t *testing.T, event string) map[string]any {
	w.Server.mu.Lock()
	defer w.Server.mu.Unlock()
	for _, d := range w.app.deliveries {
		if strings.TrimSuffix(d.event+"."+d.action, ".") == event {
			var p map[string]any
			require.NoError(t, json.Unmarshal(d.payload, &p))
			return p
		}
	}
	t.Fatalf("no %s was delivered", event)
	return nil
}

func compareKeys(t *testing.T, where string, real, fake map[string]any) {
	for key, value := range real {
		mine, there := fake[key]
		if !there {
			if !slices.Contains(older(), key) {
				t.Errorf("%s.%s is missing", where, key)
			}
			continue
		}
		compareValues(t, where+"."+key, value, mine)
	}
	for key := range fake {
		if _, there := real[key]; !there && !slices.Contains(newer(), key) {
			t.Errorf("%s.%s is not GitHub's", where, key)
		}
	}
}

// compareValues goes down where both have an object, and looks at the kind of value otherwise.
func compareValues(t *testing.T, where string, real, fake any) {
	if strings.HasSuffix(where, "permissions") {
		return // those that the App has
	}
	switch r := real.(type) {
	case map[string]any:
		if f, ok := fake.(map[string]any); ok {
			compareKeys(t, where, r, f)
		} else if fake != nil {
			t.Errorf("%s is no object", where)
		}
	case []any:
		f, ok := fake.([]any)
		if !ok {
			t.Errorf("%s is no list", where)
		}
		if len(r) > 0 && len(f) > 0 {
			compareValues(t, where+"[]", r[0], f[0])
		}
	case string:
		if _, ok := fake.(string); !ok && fake != nil {
			t.Errorf("%s is no text", where)
		}
	case float64:
		if _, ok := fake.(float64); !ok {
			t.Errorf("%s is no number, but %v", where, fake)
		}
	}
}
