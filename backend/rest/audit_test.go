package rest

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// Whoever changes what opens something leaves a line in the log that says who
// and what, and nothing of the value.
func TestWhoChangesWhatOpensSomethingIsLogged(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	boss := "Authorization: Bearer " + s.mint(ci.Token{Name: "boss", Role: ci.RoleAdmin})
	do := func(method, path, body string) answer {
		t.Helper()
		got := s.do(method, path, body, boss)
		require.Less(t, got.status, 300, "%s %s: %s", method, path, got.body)
		return got
	}
	do("PUT", "/jobs/audited", `{"freestyle":{"script":"true"}}`)
	do("PUT", "/jobs/audited/secrets/KEY", `{"value":"of-the-secret"}`)
	do("DELETE", "/jobs/audited/secrets/KEY", "")
	do("PUT", "/ssh-keys/mine", "{}")
	do("DELETE", "/ssh-keys/mine", "")
	var made struct {
		Token  struct{ ID string }
		Bearer string
	}
	require.NoError(t, json.Unmarshal([]byte(do("POST", "/tokens", `{"name":"helper","role":"read"}`).body), &made))
	do("DELETE", "/tokens/"+made.Token.ID, "")
	logged := s.logged()
	for _, line := range []string{
		`msg="secret set" job=audited secret=KEY .*by=boss`, `msg="secret deleted" job=audited secret=KEY by=boss`,
		`msg="SSH key set" key=mine .*by=boss`, `msg="SSH key deleted" key=mine by=boss`,
		`msg="token made" token=\S+ name=helper role=read by=boss`, `msg="token revoked" token=` + made.Token.ID + ` by=boss`,
	} {
		require.Regexp(t, line, logged)
	}
	require.NotContains(t, logged, "of-the-secret")
	require.NotContains(t, logged, made.Bearer)
}
