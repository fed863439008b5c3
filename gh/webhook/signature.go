package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"

	"ci/pkg/ci"
)

// headers are where a kind of forge puts what stands beside the body.
type headers struct{ event, delivery, signature string }

// headersOf returns them.
func headersOf(kind ci.ForgeKind) headers {
	switch kind {
	case ci.ForgeGitea:
		return headers{"X-Gitea-Event", "X-Gitea-Delivery", "X-Gitea-Signature"}
	case ci.ForgeGitLab:
		return headers{"X-Gitlab-Event", "X-Gitlab-Event-Uuid", "X-Gitlab-Token"}
	}
	return headers{"X-GitHub-Event", "X-GitHub-Delivery", "X-Hub-Signature-256"}
}

// verify says whether who sent the body knows the forge's secret. It looks at
// the bytes as they came. GitLab sends the secret itself; the others sign with
// HMAC-SHA256, GitHub with a prefix. A signature by SHA-1 alone is none.
func verify(kind ci.ForgeKind, secret, signature string, body []byte) bool {
	if secret == "" || signature == "" {
		return false
	}
	switch kind {
	case ci.ForgeGitLab:
		a, b := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(signature))
		return subtle.ConstantTimeCompare(a[:], b[:]) == 1
	case ci.ForgeGitHub:
		var prefixed bool
		if signature, prefixed = strings.CutPrefix(signature, "sha256="); !prefixed {
			return false
		}
	}
	given, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hmac.Equal(given, mac.Sum(nil))
}

// single returns a header that must be there exactly once.
func single(h http.Header, name string) string {
	if v := h.Values(name); len(v) == 1 {
		return v[0]
	}
	return ""
}

// digest is what a body is recognised by when it comes again under another id,
// which no signature covers. What checks ask for has no time in it, and may
// rightly come twice with the same bytes; all other events say when, or by
// whose new number, they happened. GitLab's don't: a branch that is pushed, put
// back and pushed again tells the same twice. There is no signature to replay either.
func digest(kind ci.ForgeKind, event string, body []byte) string {
	if kind == ci.ForgeGitLab {
		return ""
	}
	switch event {
	case "check_run", "check_suite", "ping":
		return ""
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// identity is a delivery's id, the same when it comes again. GitLab gives all that
// comes of one request, such as a push of several branches, the same UUID
// (docs.gitlab.com/user/project/integrations/webhooks, delivery headers), so the body is part of
// the id. Since 17.4 there is a key for each event, which says all by itself.
func identity(kind ci.ForgeKind, h http.Header, id string, body []byte) string {
	if kind != ci.ForgeGitLab {
		return id
	}
	if key := single(h, "Idempotency-Key"); word.MatchString(key) {
		return key
	}
	sum := sha256.Sum256(body)
	return id + "." + hex.EncodeToString(sum[:8])
}
