package seal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"ci/backend/secret/keyfile"
	"ci/pkg/ci"
)

// The file is a Tink keyset in JSON, in clear text: whoever may read it may
// read all secrets, like token.key. Tink's own tools read and write it too.

// read reads the keys, and refuses a file that others may read.
func read(path string) (*keyset.Handle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unread(path, err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, ci.Errorf(ci.CodeInvalid, "the secret key file %s may be read by others (mode %04o); chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, unread(path, err)
	}
	keys, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil { // its words may quote the file
		return nil, ci.Errorf(ci.CodeInvalid, "the secret key file %s is not a Tink keyset in JSON; restore it from a backup", path)
	}
	return keys, nil
}

func unread(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ci.Errorf(ci.CodeNotFound, "there is no secret key file %s; without it nothing that is sealed in the database can be read: restore it from a backup, or copy it from another cid", path)
	}
	return ci.Errorf(ci.CodeInvalid, "the secret key file can't be read: %w", err)
}

// makeFile makes a file with one key, unless there is a file already.
func makeFile(path string) error {
	m := keyset.NewManager()
	if _, err := addKey(m, true); err != nil {
		return err
	}
	err := write(path, m, keyfile.Make)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was first, and its key counts
	}
	return err
}

// Add puts a new key into the file. It opens values at once, but seals none
// until Use: so the file can be copied to every machine in between.
func Add(path string) (id uint32, err error) {
	keys, err := read(path)
	if err != nil {
		return 0, err
	}
	m := keyset.NewManagerFromHandle(keys)
	if id, err = addKey(m, false); err != nil {
		return 0, err
	}
	return id, write(path, m, keyfile.Replace)
}

// Use makes the newest key of the file the one that seals, and returns it.
func Use(path string) (id uint32, err error) {
	keys, err := read(path)
	if err != nil {
		return 0, err
	}
	infos := keys.KeysetInfo().GetKeyInfo()
	id = infos[len(infos)-1].GetKeyId()
	m := keyset.NewManagerFromHandle(keys)
	if err := m.SetPrimary(id); err != nil {
		return 0, ci.Errorf(ci.CodeInvalid, "key %08x can't be used: %w", id, err)
	}
	return id, write(path, m, keyfile.Replace)
}

// Forget removes all keys but the one that seals, and returns how many. What
// was sealed with them and not sealed again is lost.
func Forget(path string) (removed int, err error) {
	keys, err := read(path)
	if err != nil {
		return 0, err
	}
	info := keys.KeysetInfo()
	m := keyset.NewManagerFromHandle(keys)
	for _, k := range info.GetKeyInfo() {
		if k.GetKeyId() == info.GetPrimaryKeyId() {
			continue
		}
		if err := m.Delete(k.GetKeyId()); err != nil {
			return removed, ci.Errorf(ci.CodeInvalid, "key %08x can't be removed: %w", k.GetKeyId(), err)
		}
		removed++
	}
	return removed, write(path, m, keyfile.Replace)
}

func addKey(m *keyset.Manager, primary bool) (uint32, error) {
	id, err := m.Add(aead.XChaCha20Poly1305KeyTemplate())
	if err == nil && primary {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return 0, ci.Errorf(ci.CodeInternal, "a key can't be made: %w", err)
	}
	return id, nil
}

// write gives the keys to place, which puts them into the file.
func write(path string, m *keyset.Manager, place func(path string, text []byte) error) error {
	keys, err := m.Handle()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(keys, keyset.NewJSONWriter(&text)); err != nil {
		return ci.Errorf(ci.CodeInternal, "the secret keys can't be written: %w", err)
	}
	if err := place(path, text.Bytes()); err != nil {
		return ci.Errorf(ci.CodeInvalid, "the secret key file: %w", err)
	}
	return nil
}
