package signin

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"ci/pkg/ci"
)

// flow is a sign-in that is under way. Its sealed form is with who has begun it.
type flow struct {
	Provider string `json:"p"`
	// State comes back by the browser (RFC 6749, 10.12), Nonce in the ID token, and
	// Verifier goes with the code (RFC 7636), so that an answer to another sign-in is none to this one.
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Expires  int64  `json:"e"` // Unix seconds
}

// newFlow begins a flow; paste says that its answer is taken by hand to where it was begun.
func newFlow(provider string, expires time.Time, paste bool) flow {
	state := rand.Text()
	if paste {
		state = ci.PasteState + state
	}
	return flow{Provider: provider, State: state, Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Expires: expires.Unix()}
}

// tokenID is the id of the one token that the flow gives: a UUID of version 7 (RFC 9562), as those of
// all tokens, of when the flow began and of a digest of its state instead of random bits. So tokens stay
// in the order of time, and the database, which has each id once, is all that must be asked whether the flow was finished.
func (f flow) tokenID() uuid.UUID {
	begun := time.Unix(f.Expires, 0).Add(-flowLife).UnixMilli()
	digest := sha256.Sum256([]byte("ci sign-in token\x00" + f.State))
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(begun)<<16)
	copy(id[6:], digest[:10])
	id[6] = id[6]&0x0f | 0x70 // the version
	id[8] = id[8]&0x3f | 0x80 // the variant
	return id
}

// sealer makes flows unreadable and unforgeable for all but cids that share a key.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (*sealer, error) {
	if len(key) < 32 {
		return nil, errors.New("signin: a key of at least 32 bytes is required")
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "ci sign-in flow", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &sealer{aead}, err
}

func (s *sealer) seal(f flow) (string, error) {
	plain, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, nil)), nil
}

// open returns the flow that an answer with a state belongs to.
func (s *sealer) open(sealed, provider, state string, now time.Time) (*flow, error) {
	var f flow
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err == nil {
		raw, err = s.aead.Open(nil, nil, raw, nil)
	}
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	switch {
	case err != nil || f.Provider != provider:
		return nil, ci.Errorf(ci.CodeInvalid, "this sign-in was not begun here; begin it again")
	case now.Unix() >= f.Expires:
		return nil, ci.Errorf(ci.CodeInvalid, "this sign-in has taken longer than %v; begin it again", flowLife)
	case subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1:
		return nil, ci.Errorf(ci.CodeInvalid, "the answer belongs to another sign-in, so nothing was done; begin it again")
	}
	return &f, nil
}
