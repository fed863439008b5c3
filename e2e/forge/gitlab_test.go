package forge

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// A push of two branches is one request at GitLab, whose deliveries share a UUID;
// and what was pushed, put back and pushed again tells the same twice.
func TestGitLabDeliveries(t *testing.T) {
	t.Parallel()
	const secret = "a secret of sixteen bytes"
	w := listen(t)
	_, _, err := w.Secrets.Forges.Put(w.ctx, ci.ForgeAccess{
		Forge:     ci.Forge{Name: "gitlab", Kind: ci.ForgeGitLab, URL: "https://gitlab.example.org"},
		ForgeKeys: ci.ForgeKeys{WebhookSecret: secret},
	}, 0)
	require.NoError(t, err)
	w.trigger(ci.EventTrigger{Name: "lab", Forge: "gitlab", Job: "unit", Repository: "group/hello"})
	push := func(uuid, key, branch string) (says string) {
		body := fmt.Appendf(nil, `{"object_kind":"push","ref":"refs/heads/%s","before":%q,"after":%q,"project":{"id":7,"path_with_namespace":"group/hello"},"user_id":1,"user_username":"x"}`,
			branch, strings.Repeat("0", 40), w.main)
		status, says := w.send(strings.TrimSuffix(w.url, "github")+"gitlab", body, func(h http.Header) {
			h.Set("X-Gitlab-Event", "Push Hook")
			h.Set("X-Gitlab-Event-UUID", uuid)
			h.Set("X-Gitlab-Token", secret)
			if key != "" {
				h.Set("Idempotency-Key", key)
			}
		})
		require.Equal(t, http.StatusAccepted, status, says)
		return says
	}
	push("u1", "", "a")
	push("u1", "", "b")
	require.Len(t, w.runs("unit"), 2, "two branches by one request")
	require.Contains(t, push("u1", "", "a"), "recorded before")
	push("u2", "", "a")
	require.Len(t, w.runs("unit"), 3, "the same once more")
	push("u3", "k1", "a")
	push("u3", "k2", "a")
	require.Contains(t, push("u4", "k1", "a"), "recorded before", "a newer GitLab names each event")
	require.Len(t, w.runs("unit"), 5)
}
