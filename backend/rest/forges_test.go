package rest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestForges(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	body := `{"kind":"github","url":"https://github.com","appId":7,"privateKey":"-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----","webhookSecret":"0123456789abcdef"}`
	made := s.do("PUT", "/forges/github", body)
	require.Equal(t, 201, made.status, made.body)
	require.NotContains(t, made.body, "0123456789abcdef")
	require.NotContains(t, made.body, "PRIVATE KEY")
	require.Contains(t, made.body, `"appId":7`)
	require.Equal(t, 412, s.do("PUT", "/forges/none", body, "If-Match: *").status)
	again := s.do("PUT", "/forges/github", `{"kind":"github","url":"https://github.com","appId":7,"slug":"my-ci"}`, "If-Match: "+made.header.Get("ETag"))
	require.Equal(t, 200, again.status, again.body)
	require.Equal(t, "0123456789abcdef", s.forges["github"].WebhookSecret, "what is left out stays")
	require.Contains(t, s.do("GET", "/forges/github", "").body, `"slug":"my-ci"`)
	list := s.do("GET", "/forges", "").body
	require.Contains(t, list, `"forges":[{"name":"github"`)
	for _, key := range []string{"privateKey", "webhookSecret", "token"} {
		require.NotContains(t, list, key, "what is never shown does not look as if it were empty")
	}
	for body, says := range map[string]string{
		`{"kind":"hub","url":"https://github.com","webhookSecret":"0123456789abcdef"}`:                     "kind",
		`{"kind":"github","url":"ftp://github.com","webhookSecret":"0123456789abcdef"}`:                    "url",
		`{"kind":"github","url":"https://me:you@github.com","webhookSecret":"0123456789abcdef"}`:           "no user",
		`{"kind":"github","url":"https://github.com"}`:                                                     "webhookSecret",
		`{"kind":"github","url":"https://github.com","webhookSecret":"short"}`:                             "webhookSecret",
		`{"kind":"github","url":"https://github.com","appId":7,"webhookSecret":"0123456789abcdef"}`:        "privateKey",
		`{"kind":"gitlab","url":"https://gitlab.com","appId":7,"webhookSecret":"0123456789abcdef"}`:        "only GitHub has Apps",
		`{"kind":"github","url":"https://github.com","privateKey":"x","webhookSecret":"0123456789abcdef"}`: "appId",
	} {
		got := s.do("PUT", "/forges/bad", body)
		require.Equal(t, 400, got.status, body)
		require.Contains(t, got.body, says, body)
	}
	require.Equal(t, 204, s.do("DELETE", "/forges/github", "").status)
	require.Equal(t, 404, s.do("GET", "/forges/github", "").status)
}

func TestEventTriggers(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	require.Equal(t, 200, s.do("PUT", "/jobs/mine", `{"git":{"url":"https://github.com/octo/hello","configPath":"a.yaml"},"parameters":[{"name":"LEVEL"}]}`).status/100*100)
	put := func(body string) (int, string) {
		got := s.do("PUT", "/github/triggers/checks", body)
		return got.status, got.body
	}
	status, said := put(`{"repository":"octo/hello","job":"mine"}`)
	require.Equal(t, 409, status, said)
	require.Contains(t, said, "names forge")
	require.Equal(t, 201, s.do("PUT", "/forges/github", `{"kind":"github","url":"https://github.com","webhookSecret":"0123456789abcdef"}`).status)
	status, said = put(`{"repository":"octo/hello","job":"mine","paths":["src/**","!src/doc/**"],"parameters":{"LEVEL":"${pull} of ${branch}"}}`)
	require.Equal(t, 201, status, said)
	require.Contains(t, said, `"events":["push","pull_request","check_rerun","comment"]`)
	require.Contains(t, said, `"forks":"base"`)
	for body, says := range map[string]string{
		`{"repository":"hello","job":"mine"}`:                                        "owner/name",
		`{"repository":"octo/hello","job":"mine","events":["party"]}`:                "events[0]",
		`{"repository":"octo/hello","job":"mine","branches":["[a"]}`:                 "branches[0]",
		`{"repository":"octo/hello","job":"mine","forks":"yes"}`:                     "forks",
		`{"repository":"octo/hello","job":"mine","parameters":{"NONE":"1"}}`:         "parameters.NONE",
		`{"repository":"octo/hello","job":"mine","parameters":{"LEVEL":"${title}"}}`: "parameters.LEVEL",
		`{"repository":"octo/hello","job":"mine","name":"other"}`:                    "can't be renamed",
		`{"repository":"octo/hello","job":"mine","parameters":{"LEVEL":"${pull"}}`:   "parameters.LEVEL",
	} {
		status, said := put(body)
		require.Equal(t, 400, status, body)
		require.Contains(t, said, says, body)
	}
	require.Contains(t, s.do("GET", "/github/triggers/checks", "").body, `"repository":"octo/hello"`)
	require.Contains(t, s.do("GET", "/github/triggers?job=mine", "").body, `"name":"checks"`)
	require.NotContains(t, s.do("GET", "/github/triggers?job=other", "").body, `"name":"checks"`)
	require.Equal(t, 204, s.do("DELETE", "/github/triggers/checks", "").status)
	require.Equal(t, 404, s.do("DELETE", "/github/triggers/checks", "").status)

	s.webhooks = []ci.Webhook{{Seq: 1, Forge: "github", ID: "one", Note: "nothing"}, {Seq: 2, Forge: "github", ID: "two", Runs: []ci.RunRef{{Job: "mine", Run: 4}}}}
	page := s.do("GET", "/github/deliveries?pageSize=1", "")
	require.Contains(t, page.body, `"id":"two"`)
	require.NotContains(t, page.body, `"id":"one"`)
	require.Contains(t, page.body, `"runs":[{"job":"mine","run":4}]`)
}
