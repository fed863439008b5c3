// Package idptest has those that say who people are, for tests: an OpenID provider
// that keeps to OpenID Connect Core and Discovery 1.0, and a GitHub. Both refuse what the
// specification or GitHub's documentation does not allow, so that a client which
// does it fails its tests.
package idptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What the providers know the server under test by.
const (
	ClientID     = "ci-pages"
	ClientSecret = "not-a-secret-outside/of tests"
)

// OpenID is an OpenID provider. Its methods are safe for concurrent use.
type OpenID struct {
	// URL is its issuer.
	URL string

	t      testing.TB
	server *httptest.Server
	key    *ecdsa.PrivateKey

	mu       sync.Mutex
	redirect string
	person   map[string]any
	ask      bool
	twist    func(header, claims map[string]any)
	fault    func(w http.ResponseWriter, r *http.Request) bool
	codes    map[string]*code
}

// code is an authorization code, and what it was given for.
type code struct {
	redirect, nonce, challenge string
	person                     map[string]any
	used                       bool
}

// NewOpenID starts a provider that knows one client, which ends with the test.
func NewOpenID(t testing.TB) *OpenID {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o := &OpenID{t: t, key: key, codes: map[string]*code{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", o.describe)
	mux.HandleFunc("GET /keys", o.keys)
	mux.HandleFunc("GET /authorize", o.authorize)
	mux.HandleFunc("POST /token", o.token)
	o.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		fault := o.fault
		o.mu.Unlock()
		if fault == nil || !fault(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	o.URL = o.server.URL
	t.Cleanup(func() {
		o.server.CloseClientConnections()
		o.server.Close()
	})
	return o
}

// Redirect registers the one address that people are led back to.
func (o *OpenID) Redirect(uri string) { o.set(func() { o.redirect = uri }) }

// SignIn is who is signed in at the provider: the claims of their ID token. nil is somebody who refuses.
func (o *OpenID) SignIn(claims map[string]any) { o.set(func() { o.person = claims }) }

// Ask has the provider show a page before it leads back.
func (o *OpenID) Ask() { o.set(func() { o.ask = true }) }

// Twist changes the header and the claims of ID tokens before they are signed; nil ends that.
func (o *OpenID) Twist(fn func(header, claims map[string]any)) { o.set(func() { o.twist = fn }) }

// Fault is asked before each answer, and says whether it has answered itself; nil ends that.
func (o *OpenID) Fault(fn func(w http.ResponseWriter, r *http.Request) bool) {
	o.set(func() { o.fault = fn })
}

func (o *OpenID) set(fn func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fn()
}

func (o *OpenID) describe(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": o.URL, "authorization_endpoint": o.URL + "/authorize", "token_endpoint": o.URL + "/token", "jwks_uri": o.URL + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic"}, "code_challenge_methods_supported": []string{"S256"},
		"scopes_supported": []string{"openid", "email", "profile", "groups"}, "authorization_response_iss_parameter_supported": true,
	})
}

func (o *OpenID) keys(w http.ResponseWriter, _ *http.Request) {
	point, err := o.key.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	size := (len(point) - 1) / 2
	writeJSON(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "one",
		"x": base64.RawURLEncoding.EncodeToString(point[1 : 1+size]), "y": base64.RawURLEncoding.EncodeToString(point[1+size:]),
	}}})
}

// authorize gives out a code for who is signed in (Core, 3.1.2), by a page where one was asked for.
func (o *OpenID) authorize(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("redirect_uri") != o.redirect {
		http.Error(w, fmt.Sprintf("the client or its redirect URI %q is not registered here", q.Get("redirect_uri")), http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}, "iss": {o.URL}}
	switch {
	case q.Get("response_type") != "code", !slices.Contains(strings.Fields(q.Get("scope")), "openid"), q.Get("nonce") == "", q.Get("state") == "",
		q.Get("code_challenge_method") != "S256", q.Get("code_challenge") == "":
		back.Set("error", "invalid_request")
	case o.person == nil:
		back.Set("error", "access_denied")
		back.Set("error_description", "<b>no</b>")
	default:
		value := rand.Text()
		o.codes[value] = &code{redirect: o.redirect, nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), person: maps.Clone(o.person)}
		back.Set("code", value)
	}
	to := o.redirect + "?" + back.Encode()
	if o.ask {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><title>Provider</title><h1>Who are you?</h1><a id="go" href="%s">Go on</a>`, html.EscapeString(to))
		return
	}
	http.Redirect(w, r, to, http.StatusFound)
}

// token exchanges a code, once (Core, 3.1.3; RFC 7636, 4.6).
func (o *OpenID) token(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id, key, _ := r.BasicAuth() // both are form-encoded first (RFC 6749, 2.3.1)
	if key, err := url.QueryUnescape(key); err != nil || id != ClientID || key != ClientSecret {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	c := o.codes[r.PostFormValue("code")]
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if c == nil || c.used || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != c.redirect || base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	c.used = true
	access := rand.Text()
	signed, err := o.sign(c, access)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": signed})
}

// sign makes the ID token of a code. o.mu is held.
func (o *OpenID) sign(c *code, access string) (string, error) {
	half := sha256.Sum256([]byte(access))
	claims := jwt.MapClaims{
		"iss": o.URL, "aud": ClientID, "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(), "nonce": c.nonce,
		"at_hash": base64.RawURLEncoding.EncodeToString(half[:16]),
	}
	maps.Copy(claims, c.person)
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["kid"] = "one"
	if o.twist != nil {
		o.twist(t.Header, claims)
	}
	if t.Header["alg"] == "none" {
		t.Method = jwt.SigningMethodNone
		return t.SignedString(jwt.UnsafeAllowNoneSignatureType)
	}
	if t.Header["kid"] != "one" { // another one's key
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return "", err
		}
		return t.SignedString(other)
	}
	return t.SignedString(o.key)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who asked may be gone
}
