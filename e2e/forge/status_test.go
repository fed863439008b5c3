package forge

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// post is a request that sets a status.
type post struct{ path, auth, state, name, target, description string }

// forgeServer takes statuses as GitLab and Gitea document it
// (https://docs.gitlab.com/api/commits/#set-commit-pipeline-status,
// https://docs.gitea.com/api: repoCreateStatus). GitLab refuses a state that is set already.
func forgeServer(t *testing.T) (url string, posts func() []post) {
	var mu sync.Mutex
	var list []post
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			State       string `json:"state"`
			Name        string `json:"name"`
			Context     string `json:"context"`
			TargetURL   string `json:"target_url"`
			Description string `json:"description"`
		}
		err := json.NewDecoder(r.Body).Decode(&body)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || r.Method != http.MethodPost {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		p := post{r.URL.EscapedPath(), r.Header.Get("Authorization"), body.State, body.Name + body.Context, body.TargetURL, body.Description}
		if len(list) > 0 && list[len(list)-1] == p {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"message":"Cannot transition status via :run from :running"}`))
			return
		}
		list = append(list, p)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"id":5}`))
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []post {
		mu.Lock()
		defer mu.Unlock()
		return append([]post(nil), list...)
	}
}

// TestOtherForges tells GitLab and Gitea by commit statuses.
func TestOtherForges(t *testing.T) {
	t.Parallel()
	for kind, want := range map[ci.ForgeKind]struct {
		path   string
		states []string
	}{
		ci.ForgeGitLab: {"/api/v4/projects/77/statuses/", []string{"pending", "running", "success"}},
		ci.ForgeGitea:  {"/api/v1/repos/octo/he%20llo/statuses/", []string{"pending", "pending", "success"}},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			url, posts := forgeServer(t)
			w.forge = ci.ForgeAccess{Forge: ci.Forge{Name: "other", Kind: kind, URL: url, Version: 1}, ForgeKeys: ci.ForgeKeys{Token: "secret"}}
			w.worker(w.Checks())
			r := w.triggerFor(ci.Origin{Forge: "other", Trigger: "unit", Repository: 77, FullName: "octo/he llo", HeadSHA: w.sha})
			told := func(n int) {
				require.Eventually(t, func() bool { return len(posts()) == n }, limit, 20*time.Millisecond)
			}
			told(1)
			r.start()
			told(2)
			r.finish(ci.OutcomeSucceeded, "", "")
			told(3)
			w.settled()
			for i, p := range posts() {
				require.Equal(t, want.path+w.sha, p.path)
				require.Equal(t, want.states[i], p.state)
				require.Equal(t, "unit", p.name)
				require.Equal(t, "Bearer secret", p.auth)
			}
		})
	}
}
