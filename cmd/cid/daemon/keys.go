package daemon

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ci/backend"
	"ci/pkg/ci"
)

// signingKey reads the key that signs tokens (PKCS #8, PEM), and makes it when
// there is none.
func signingKey(path string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the token key can't be read: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("the token key %s is not PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the token key %s: %w", path, err)
	}
	ed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the token key %s is %T; an Ed25519 key is needed", path, key)
	}
	return ed, nil
}

func makeKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeSecret(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// writeSecret writes a file that only its owner can read, whole or not at all.
func writeSecret(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// adminToken mints a token of role admin when there is no file that holds one,
// and says where it is. Deleting the file and restarting gives a new one; who
// can do that holds the signing key anyway.
func adminToken(ctx context.Context, b *backend.Backend, dir string) (path string, made bool, err error) {
	path = filepath.Join(dir, "admin.token")
	if _, err := os.Stat(path); err == nil {
		return path, false, nil
	}
	bearer, _, err := b.Auth.Mint(ctx, ci.Token{Name: "admin-" + time.Now().UTC().Format("20060102-150405.000"), Role: ci.RoleAdmin})
	if err != nil {
		return path, false, err
	}
	return path, true, writeSecret(path, []byte(bearer+"\n"))
}
