package webhook

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"
)

// However many commits there are, their files stand on the first page.
func TestCompareIsOneRequest(t *testing.T) {
	t.Parallel()
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, asked+1))
		_, _ = fmt.Fprint(w, `{"files": [{"filename": "new.go", "previous_filename": "old.go"}, {"filename": "a.go"}]}`)
	}))
	defer s.Close()
	c := github.NewClient(s.Client())
	base, err := url.Parse(s.URL + "/")
	require.NoError(t, err)
	c.BaseURL = base
	h := &hub{owner: "octo", name: "hello"}
	files, whole, err := h.compare(t.Context(), c, "a", "b")
	require.NoError(t, err)
	require.True(t, whole)
	require.Equal(t, []string{"new.go", "old.go", "a.go"}, files)
	require.Equal(t, 1, asked)
}
