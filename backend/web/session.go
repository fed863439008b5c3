package web

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"ci/pkg/ci"
)

// sessionLife is how long a browser stays signed in.
const sessionLife = 14 * 24 * time.Hour

// session is what a browser's cookie says, sealed: nobody but a cid can read or
// make one, and every cid that has the key can. Whether its token still opens
// anything is asked of the API with each page.
type session struct {
	Token   string  `json:"t"`
	Name    string  `json:"n"`
	Role    ci.Role `json:"r"`
	Expires int64   `json:"e"` // Unix seconds
	// Limited says that the token is limited to some jobs: pipelines, which are of many, are not for it.
	Limited bool `json:"l,omitempty"`
	// Made says that the token was made for this sign-in, and ends with it.
	Made bool `json:"m,omitempty"`

	// form is the value that forms of this session carry.
	form string
}

// May says whether the session's role is one of roles. It decides what is
// shown; what is allowed, the API decides.
func (s *session) May(roles ...ci.Role) bool {
	for _, r := range roles {
		if s.Role == r {
			return true
		}
	}
	return false
}

// sealer makes and opens cookies.
type sealer struct {
	aead cipher.AEAD
	mac  []byte
	// secure says that people come by https, so cookies never go over anything else.
	secure bool
}

func newSealer(key []byte, secure bool) (*sealer, error) {
	if len(key) < 32 {
		return nil, errors.New("web: a session key of at least 32 bytes is required")
	}
	seal, err := hkdf.Key(sha256.New, key, nil, "ci session cookie", 32)
	if err != nil {
		return nil, err
	}
	mac, err := hkdf.Key(sha256.New, key, nil, "ci session forms", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &sealer{aead, mac, secure}, err
}

// sessionCookie is the name of the cookie of who has signed in.
const sessionCookie = "ci_session"

// bound is the name of a cookie, bound to this very host where the browser can check that (RFC 6265bis).
func (s *sealer) bound(name string) string {
	if s.secure {
		return "__Host-" + name
	}
	return name
}

// cookie keeps a value; a negative age ends it. Lax lets it come along when another site leads here, as those do that people sign in by.
func (s *sealer) cookie(name, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: s.bound(name), Value: value, Path: "/", MaxAge: int(age.Seconds()),
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	}
}

// gone ends a cookie.
func (s *sealer) gone(name string) *http.Cookie { return s.cookie(name, "", -time.Second) }

// sealed makes a cookie that nobody but a cid can read or make.
func (s *sealer) sealed(name string, v any, age time.Duration) (*http.Cookie, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	value := s.aead.Seal(nil, nil, plain, []byte(s.bound(name)))
	return s.cookie(name, base64.RawURLEncoding.EncodeToString(value), age), nil
}

// unsealed reads such a cookie of a request into v, and returns it as it came; nil where there is none that counts.
func (s *sealer) unsealed(r *http.Request, name string, v any) *http.Cookie {
	c, err := r.Cookie(s.bound(name))
	if err != nil {
		return nil
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(c.Value)
	if err != nil {
		return nil
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(s.bound(name)))
	if err != nil || json.Unmarshal(plain, v) != nil {
		return nil
	}
	return c
}

// seal makes the cookie of a session.
func (s *sealer) seal(v *session, now time.Time) (*http.Cookie, error) {
	return s.sealed(sessionCookie, v, time.Unix(v.Expires, 0).Sub(now))
}

// open returns the session of a request, nil where there is none that counts.
func (s *sealer) open(r *http.Request, now time.Time) *session {
	var v session
	c := s.unsealed(r, sessionCookie, &v)
	if c == nil || now.Unix() >= v.Expires {
		return nil
	}
	v.form = s.formOf(c.Value)
	return &v
}

// formOf is what the forms of a session carry, so that no other site can send
// one: it can't read our pages, and can't compute this.
func (s *sealer) formOf(cookie string) string {
	h := hmac.New(sha256.New, s.mac)
	h.Write([]byte(cookie))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// formOK compares what a form has brought.
func (v *session) formOK(r *http.Request) bool {
	return hmac.Equal([]byte(r.PostFormValue("form")), []byte(v.form))
}
