package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"ci/pkg/ci"
)

const (
	issuer = "ci"
	// typ tells our tokens from other JWTs that the same key may come to sign.
	typ = "ci-token+jwt"
	// maxToken is the longest bearer that is looked at, in bytes.
	maxToken = 4 << 10
	// leeway is how far clocks of two cids may differ.
	leeway = 30 * time.Second
)

// header is the first part of a token (RFC 7515). There is one for each key,
// and no other is accepted, so it is compared and never interpreted.
type header struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
}

// claims is the second part of a token (RFC 7519).
type claims struct {
	Issuer   string  `json:"iss"`
	Audience string  `json:"aud"`
	Subject  string  `json:"sub"`
	ID       string  `json:"jti"`
	Role     ci.Role `json:"role"`
	Issued   int64   `json:"iat"`
	Expires  int64   `json:"exp,omitempty"`
}

// audience keeps tokens of agents and of runs from opening what people's do,
// and the other way round, even if a row were mixed up.
func audience(r ci.Role) string {
	switch r {
	case ci.RoleAgent:
		return "ci-agent"
	case ci.RoleRun:
		return "ci-run"
	}
	return "ci-api"
}

func claimsOf(t *ci.Token) claims {
	c := claims{
		Issuer: issuer, Audience: audience(t.Role), Subject: t.Name, ID: t.ID,
		Role: t.Role, Issued: t.CreatedAt.Unix(),
	}
	if !t.ExpiresAt.IsZero() {
		c.Expires = t.ExpiresAt.Unix()
	}
	return c
}

func (c claims) check(now time.Time) error {
	switch {
	case c.Issuer != issuer || c.Audience != audience(c.Role) || c.ID == "":
		return refused("was not made for this API")
	case now.Add(leeway).Before(time.Unix(c.Issued, 0)):
		return refused("is from the future; compare the clocks of the servers")
	case c.Expires != 0 && now.After(time.Unix(c.Expires, 0).Add(leeway)):
		return refused("has expired")
	}
	return nil
}

// signer holds the key that signs, and the headers and keys that are accepted.
type signer struct {
	key    ed25519.PrivateKey
	header string
	keys   map[string]ed25519.PublicKey // by encoded header
}

func newSigner(key ed25519.PrivateKey, old []ed25519.PublicKey) signer {
	s := signer{key: key, keys: map[string]ed25519.PublicKey{}}
	pub := key.Public().(ed25519.PublicKey)
	s.header = encodedHeader(pub)
	for _, k := range append([]ed25519.PublicKey{pub}, old...) {
		s.keys[encodedHeader(k)] = k
	}
	return s
}

func encodedHeader(k ed25519.PublicKey) string {
	sum := sha256.Sum256(k)
	b, err := json.Marshal(header{Alg: "EdDSA", Kid: hex.EncodeToString(sum[:8]), Typ: typ})
	if err != nil {
		panic(err) // three strings always marshal
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func (s signer) sign(c claims) (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	signed := s.header + "." + base64.RawURLEncoding.EncodeToString(b)
	sig := ed25519.Sign(s.key, []byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// open checks the signature first and reads the claims after. The payload must
// be byte for byte what sign would have written: no second spelling of a token
// exists (duplicate keys, other base64, other order).
func (s signer) open(bearer string) (claims, error) {
	malformed := ci.Errorf(ci.CodeUnauthorized, "the bearer token is not one of ours; it has the form abc.def.ghi")
	if len(bearer) > maxToken {
		return claims{}, ci.Errorf(ci.CodeUnauthorized, "the bearer token has %d bytes; ours have at most %d", len(bearer), maxToken)
	}
	parts := strings.Split(bearer, ".")
	if len(parts) != 3 {
		return claims{}, malformed
	}
	key, ok := s.keys[parts[0]]
	if !ok {
		return claims{}, malformed
	}
	strict := base64.RawURLEncoding.Strict()
	payload, err := strict.DecodeString(parts[1])
	if err != nil || strings.ContainsAny(bearer, "\r\n") { // the decoder skips line ends
		return claims{}, malformed
	}
	sig, err := strict.DecodeString(parts[2])
	if err != nil || len(sig) != ed25519.SignatureSize {
		return claims{}, malformed
	}
	if !ed25519.Verify(key, []byte(parts[0]+"."+parts[1]), sig) {
		return claims{}, malformed
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return claims{}, malformed
	}
	if again, err := json.Marshal(c); err != nil || !bytes.Equal(again, payload) {
		return claims{}, malformed
	}
	return c, nil
}
