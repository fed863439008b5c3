package ci

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// RunToken is what is recorded of the token that a run's script has. It lives
// while its run is in progress, and there is none beside that.
type RunToken struct {
	Run RunRef
	// Hash is of the bearer; see NewRunToken.
	Hash string
	// Triggers are the jobs that the run may trigger, as its job says at present.
	Triggers []string
	// ExpiresAt is the run's deadline.
	ExpiresAt time.Time
}

// runTokenKind is the first part of a run token's bearer. People's tokens
// begin with a JSON object in base64.
const runTokenKind = "run"

// NewRunToken makes a bearer for a run, "run.ID.SECRET" with 256 random bits,
// and the hash that is recorded of it: SHA-256 in hex. It needs no key, so that
// every machine that may claim runs can make one.
func NewRunToken(run int64) (bearer, hash string) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	bearer = strings.Join([]string{runTokenKind, strconv.FormatInt(run, 10), base64.RawURLEncoding.EncodeToString(secret[:])}, ".")
	return bearer, hashOf(bearer)
}

// ParseRunToken returns the run that a bearer claims to be of, and its hash; ok
// is false for what does not have the form of a run token.
func ParseRunToken(bearer string) (run int64, hash string, ok bool) {
	kind, rest, _ := strings.Cut(bearer, ".")
	id, secret, found := strings.Cut(rest, ".")
	if kind != runTokenKind || !found || len(secret) != base64.RawURLEncoding.EncodedLen(32) {
		return 0, "", false
	}
	run, err := strconv.ParseInt(id, 10, 64)
	if err != nil || run <= 0 || strconv.FormatInt(run, 10) != id {
		return 0, "", false
	}
	return run, hashOf(bearer), true
}

func hashOf(bearer string) string {
	sum := sha256.Sum256([]byte(bearer))
	return hex.EncodeToString(sum[:])
}
