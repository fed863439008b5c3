package webhook

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// The vector of GitHub's documentation: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries.
const (
	documentedSecret = "It's a Secret to Everybody"
	documentedBody   = "Hello, World!"
	documentedHMAC   = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	body := []byte(documentedBody)
	require.True(t, verify(ci.ForgeGitHub, documentedSecret, "sha256="+documentedHMAC, body))
	for name, c := range map[string]struct {
		secret, signature, body string
	}{
		"no prefix":     {documentedSecret, documentedHMAC, documentedBody},
		"sha1":          {documentedSecret, "sha1=" + documentedHMAC[:40], documentedBody},
		"other secret":  {documentedSecret + "!", "sha256=" + documentedHMAC, documentedBody},
		"other body":    {documentedSecret, "sha256=" + documentedHMAC, "Hello, World?"},
		"cut":           {documentedSecret, "sha256=" + documentedHMAC[:62], documentedBody},
		"longer":        {documentedSecret, "sha256=" + documentedHMAC + "00", documentedBody},
		"no hex":        {documentedSecret, "sha256=zz" + documentedHMAC[2:], documentedBody},
		"empty":         {documentedSecret, "", documentedBody},
		"empty secret":  {"", "sha256=" + documentedHMAC, documentedBody},
		"only a prefix": {documentedSecret, "sha256=", documentedBody},
	} {
		require.False(t, verify(ci.ForgeGitHub, c.secret, c.signature, []byte(c.body)), name)
	}
	for bit := range 8 * len(body) {
		flipped := []byte(documentedBody)
		flipped[bit/8] ^= 1 << (bit % 8)
		require.False(t, verify(ci.ForgeGitHub, documentedSecret, "sha256="+documentedHMAC, flipped), "bit %d", bit)
	}
	require.True(t, verify(ci.ForgeGitLab, "the token of the hook", "the token of the hook", body))
	require.False(t, verify(ci.ForgeGitLab, "the token of the hook", "the token of the hooK", body))
}

// Deliveries that a Gitea has signed.
func TestVerifyRecorded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "..", "shared", "data", "forge-webhooks")
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data", "forge-webhooks") // in a worktree
	}
	text, err := os.ReadFile(filepath.Join(dir, "signature-vectors.json"))
	if err != nil {
		t.Skipf("SKIPPED: the recorded deliveries are not here: %v", err)
	}
	var vectors struct {
		Secret  string `json:"gitea_secret"`
		Vectors []struct {
			File      string `json:"file"`
			Signature string `json:"x_gitea_signature"`
			Verifies  bool   `json:"verifies"`
		} `json:"gitea_vectors"`
	}
	require.NoError(t, json.Unmarshal(text, &vectors))
	tried := 0
	for _, v := range vectors.Vectors {
		body, err := os.ReadFile(filepath.Join(dir, v.File))
		if os.IsNotExist(err) {
			continue // not every body is in the collection
		}
		require.NoError(t, err)
		tried++
		require.Equal(t, v.Verifies, verify(ci.ForgeGitea, vectors.Secret, v.Signature, body), v.File)
		body[len(body)/2] ^= 1
		require.False(t, verify(ci.ForgeGitea, vectors.Secret, v.Signature, body), v.File)
	}
	require.Positive(t, tried)
}

// GitLab tells what comes of one request under one UUID, and the same twice where it happened twice.
func TestIdentity(t *testing.T) {
	t.Parallel()
	one, other := []byte(`{"ref":"refs/heads/a"}`), []byte(`{"ref":"refs/heads/b"}`)
	none := http.Header{}
	first := identity(ci.ForgeGitLab, none, "uuid", one)
	require.NotEqual(t, first, identity(ci.ForgeGitLab, none, "uuid", other), "two branches of one push")
	require.NotEqual(t, first, identity(ci.ForgeGitLab, none, "uuid2", one), "pushed, put back, and pushed again")
	require.Equal(t, first, identity(ci.ForgeGitLab, none, "uuid", one), "sent again")
	require.Regexp(t, word, first)
	key := http.Header{"Idempotency-Key": {"k1"}}
	require.Equal(t, "k1", identity(ci.ForgeGitLab, key, "uuid", one))
	require.Equal(t, "uuid", identity(ci.ForgeGitHub, key, "uuid", one))
	require.Equal(t, "uuid", identity(ci.ForgeGitea, key, "uuid", one))

	require.Empty(t, digest(ci.ForgeGitLab, "Push Hook", one))
	require.NotEmpty(t, digest(ci.ForgeGitea, "push", one))
	require.NotEmpty(t, digest(ci.ForgeGitHub, "push", one))
	require.Empty(t, digest(ci.ForgeGitHub, "check_run", one))
}
