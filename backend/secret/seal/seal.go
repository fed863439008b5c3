// Package seal keeps values that only this system may read: authenticated
// encryption (Tink's AEAD, XChaCha20-Poly1305) with keys that lie in a file,
// never beside what they seal. Each value is bound to what it belongs to, so
// that a ciphertext which somebody moves to another row does not open there.
package seal

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"ci/pkg/ci"
)

// Box seals and opens values with the keys of one file. When the file changes,
// the box reads it again, so that a new key needs no restart. It is safe for
// concurrent use.
type Box struct {
	path string

	mu   sync.Mutex
	seen os.FileInfo // what the file was when keys were read
	keys *keyset.Handle
	aead tink.AEAD
}

// prefixSize is what Tink puts before each ciphertext: one byte, and the id of
// the key as a big-endian uint32 (https://developers.google.com/tink/wire-format).
const prefixSize = 5

// Open opens the key file at path. When there is none, the error is
// ci.CodeNotFound; a file that holds no keys, or that others may read, is
// ci.CodeInvalid.
func Open(path string) (*Box, error) {
	b := &Box{path: path}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b, b.refresh()
}

// OpenOrMake is Open, and makes the file first when there is none. Processes
// that start together agree on one key.
func OpenOrMake(path string) (*Box, error) {
	b, err := Open(path)
	if ci.CodeOf(err) != ci.CodeNotFound {
		return b, err
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	return Open(path)
}

// Seal returns plain encrypted with the newest key in use. about says what the
// value belongs to, for example "secret", job, name; Open needs the same.
func (b *Box) Seal(plain []byte, about ...string) ([]byte, error) {
	box, _, err := b.current()
	if err != nil {
		return nil, err
	}
	sealed, err := box.Encrypt(plain, binding(about))
	if err != nil {
		return nil, ci.Errorf(ci.CodeInternal, "a value can't be sealed: %w", err)
	}
	return sealed, nil
}

// Open returns what Seal was given. When the key is not in the file, or the
// value was sealed about something else or changed since, the error is
// ci.CodeConflict with a sentence that says which.
func (b *Box) Open(sealed []byte, about ...string) ([]byte, error) {
	box, keys, err := b.current()
	if err != nil {
		return nil, err
	}
	id, ok := keyOf(sealed)
	if !ok {
		return nil, ci.Errorf(ci.CodeConflict, "the sealed value of %s is damaged; set it again", name(about))
	}
	if !holds(keys, id) {
		return nil, ci.Errorf(ci.CodeConflict, "the sealed value of %s needs key %08x, which %s does not hold: use the key file that it was sealed with (restore it from a backup, or copy it from another cid), or set the value again", name(about), id, b.path)
	}
	plain, err := box.Decrypt(sealed, binding(about))
	if err != nil {
		return nil, ci.Errorf(ci.CodeConflict, "the sealed value of %s does not open: it is damaged, or was sealed for something else; set it again", name(about))
	}
	return plain, nil
}

// Fresh says whether a value is sealed with the key that Seal uses now.
func (b *Box) Fresh(sealed []byte) (bool, error) {
	_, keys, err := b.current()
	if err != nil {
		return false, err
	}
	id, ok := keyOf(sealed)
	return ok && id == keys.KeysetInfo().GetPrimaryKeyId(), nil
}

// Path is the key file.
func (b *Box) Path() string { return b.path }

// current returns the keys as the file has them now.
func (b *Box) current() (tink.AEAD, *keyset.Handle, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.aead, b.keys, b.refresh()
}

// refresh reads the file if it changed. b.mu is held.
func (b *Box) refresh() error {
	info, err := os.Stat(b.path)
	if err != nil {
		return unread(b.path, err)
	}
	if b.seen != nil && os.SameFile(info, b.seen) && info.ModTime().Equal(b.seen.ModTime()) && info.Size() == b.seen.Size() {
		return nil
	}
	keys, err := read(b.path)
	if err != nil {
		return err
	}
	box, err := aead.New(keys)
	if err != nil {
		return ci.Errorf(ci.CodeInvalid, "the secret key file %s holds keys of another kind: %w", b.path, err)
	}
	b.seen, b.keys, b.aead = info, keys, box
	return nil
}

// binding writes words so that no two lists of words give the same bytes.
func binding(about []string) []byte {
	var out []byte
	for _, word := range about {
		out = binary.AppendUvarint(out, uint64(len(word)))
		out = append(out, word...)
	}
	return out
}

// name is what errors call a value: its kind, and what it is of.
func name(about []string) string {
	switch len(about) {
	case 0:
		return "a row"
	case 1:
		return about[0]
	}
	return fmt.Sprintf("%s %q", about[0], about[1:])
}

// keyOf is the id of the key that a value was sealed with.
func keyOf(sealed []byte) (id uint32, ok bool) {
	if len(sealed) < prefixSize {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:prefixSize]), true
}

func holds(keys *keyset.Handle, id uint32) bool {
	for _, k := range keys.KeysetInfo().GetKeyInfo() {
		if k.GetKeyId() == id {
			return true
		}
	}
	return false
}
