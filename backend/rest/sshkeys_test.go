package rest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// A host key that anybody may know.
const (
	hostKeyLine  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPXkVVphvel4CBPeenZDEzwyJZmGvQhZ8qZfHzR+coPZ"
	hostKeyPrint = "SHA256:1234qN/SvuEnltt+4ZnpohYanytMHLr9DNi0KNNo6aM"
)

func TestSSHKeys(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	made := s.do("PUT", "/ssh-keys/deploy", `{}`)
	require.Equal(t, 201, made.status, made.body)
	require.Equal(t, "/ssh-keys/deploy", made.header.Get("Location"))
	require.Contains(t, made.body, `"publicKey":"ssh-ed25519`)
	require.NotContains(t, made.body, "rivate")

	put := s.do("PUT", "/ssh-keys/deploy", `{"hosts":[{"host":"Git.example.com:22","key":"`+hostKeyLine+` me@there"}]}`, "If-Match: "+made.header.Get("ETag"))
	require.Equal(t, 200, put.status, put.body)
	require.Contains(t, put.body, `"hosts":[{"host":"git.example.com","key":"`+hostKeyLine+`","fingerprint":"`+hostKeyPrint+`"}]`)
	require.Contains(t, put.body, `"version":2`)
	require.Equal(t, 412, s.do("PUT", "/ssh-keys/deploy", `{}`, "If-Match: "+made.header.Get("ETag")).status)
	require.Equal(t, 412, s.do("PUT", "/ssh-keys/none", `{}`, "If-Match: *").status)
	got := s.do("GET", "/ssh-keys/deploy", "")
	require.Equal(t, put.body, got.body)
	require.Equal(t, put.header.Get("ETag"), got.header.Get("ETag"))
	require.Contains(t, s.do("GET", "/ssh-keys", "").body, `"keys":[{"name":"deploy"`)

	require.Equal(t, 200, s.do("PUT", "/jobs/mine", `{"git":{"url":"https://h/x","configPath":"a.yaml","sshKey":"deploy"}}`).status)
	require.Equal(t, 409, s.do("DELETE", "/ssh-keys/deploy", "").status)
	require.Equal(t, 204, s.do("DELETE", "/jobs/mine", "").status)
	require.Equal(t, 204, s.do("DELETE", "/ssh-keys/deploy", "").status)
	require.Equal(t, 404, s.do("DELETE", "/ssh-keys/deploy", "").status)
	require.Equal(t, 404, s.do("GET", "/ssh-keys/deploy", "").status)
}

func TestSSHKeysThatCannotBe(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	for name, c := range map[string]struct{ path, body, says string }{
		"a pattern":       {"/ssh-keys/a", `{"hosts":[{"host":"*.example.com","key":"` + hostKeyLine + `"}]}`, "hosts[0].host"},
		"no key":          {"/ssh-keys/a", `{"hosts":[{"host":"h"}]}`, "hosts[0].key"},
		"a private key":   {"/ssh-keys/a", `{"privateKey":"x"}`, "privateKey"},
		"another name":    {"/ssh-keys/a", `{"name":"b"}`, "can't be renamed"},
		"a strange name":  {"/ssh-keys/-a", `{}`, "must begin with"},
		"several at once": {"/ssh-keys/a", `{"hosts":[{"host":"h","key":"` + hostKeyLine + `\n` + hostKeyLine + `"}]}`, "hosts[0].key"},
	} {
		got := s.do("PUT", c.path, c.body)
		require.Equal(t, 400, got.status, "%s: %s", name, got.body)
		require.Contains(t, got.body, c.says, name)
	}
	require.Empty(t, s.sshKeys)
}

func TestScanHost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	got := s.do("POST", "/ssh-hosts:scan", `{"host":"git.example.com"}`)
	require.Equal(t, 200, got.status, got.body)
	require.Contains(t, got.body, hostKeyPrint)
	got = s.do("POST", "/ssh-hosts:scan", `{"host":"10.0.0.1"}`)
	require.Equal(t, 400, got.status, got.body)
	require.Contains(t, got.body, "is private")
	require.Empty(t, s.sshKeys, "nothing is stored")
}

// A token that is limited to some jobs can't point everybody's keys at what it likes.
func TestLimitedTokensGiveNoKey(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	limited := "Authorization: Bearer " + s.mint(ci.Token{Name: "limited", Role: ci.RoleMaintain, Jobs: []string{"mine"}})
	const body = `{"git":{"url":"https://h/x","configPath":"a.yaml","sshKey":"deploy"}}`
	got := s.do("PUT", "/jobs/mine", body, limited)
	require.Equal(t, 403, got.status, got.body)
	require.Contains(t, got.body, "may not point an SSH key at a repository")
	require.Equal(t, 200, s.do("PUT", "/jobs/mine", body).status, "an administrator may")
	require.Equal(t, 200, s.do("PUT", "/jobs/mine", `{"git":{"url":"https://h/x","configPath":"b.yaml","sshKey":"deploy"}}`, limited).status, "and then it may change the rest")
	require.Equal(t, 403, s.do("PUT", "/jobs/mine", `{"git":{"url":"https://h/y","configPath":"b.yaml","sshKey":"deploy"}}`, limited).status)
	require.Equal(t, 200, s.do("PUT", "/jobs/mine", `{"git":{"url":"https://h/y","configPath":"b.yaml"}}`, limited).status, "without a key it is its own affair")
}

// Nor at what a forge's App opens.
func TestLimitedTokensReachNoPrivateRepository(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	forge := `{"kind":"github","url":"https://git.example.com","appId":7,"privateKey":"-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----","webhookSecret":"0123456789abcdef"}`
	require.Equal(t, 201, s.do("PUT", "/forges/github", forge).status)
	limited := "Authorization: Bearer " + s.mint(ci.Token{Name: "limited", Role: ci.RoleMaintain, Jobs: []string{"mine"}})
	of := func(repository, path string) string {
		return `{"git":{"url":"https://git.example.com/` + repository + `","configPath":"` + path + `"}}`
	}
	got := s.do("PUT", "/jobs/mine", of("octo/hello", "a.yaml"), limited)
	require.Equal(t, 403, got.status, got.body)
	require.Contains(t, got.body, "that a forge's App opens")
	require.Equal(t, 200, s.do("PUT", "/jobs/mine", of("octo/hello", "a.yaml")).status, "an administrator may")
	require.Equal(t, 200, s.do("PUT", "/jobs/mine", of("octo/hello", "b.yaml"), limited).status, "and then it may change the rest")
	require.Equal(t, 403, s.do("PUT", "/jobs/mine", of("octo/other", "b.yaml"), limited).status)
}
