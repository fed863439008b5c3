package machine

import (
	"errors"

	"github.com/spf13/pflag"

	"ci/backend"
	"ci/backend/secret/vault"
)

// Secrets are the settings that say where secrets lie, the same for cid and ci-agent.
type Secrets struct {
	key   string
	vault vault.Config
}

// Flags defines the settings; missing says what happens without a key.
func (s *Secrets) Flags(fs *pflag.FlagSet, missing string) {
	fs.StringVar(&s.key, "secret-key", "", "file with the keys that seal secrets in the database, the same for all cids and ci-agents (default: "+missing+")")
	v := &s.vault
	fs.StringVar(&v.Address, "vault", "", "HashiCorp Vault that jobs' secrets lie in, https://HOST:PORT, the same for all cids and ci-agents (default: sealed in the database)")
	fs.StringVar(&v.Namespace, "vault-namespace", "", "namespace in Vault (default: the root)")
	fs.StringVar(&v.Mount, "vault-mount", "secret", "where Vault's KV engine (version 2) is mounted")
	fs.StringVar(&v.Path, "vault-path", "ci/{job}/{name}", "where a secret lies in it, under the key value")
	fs.StringVar(&v.RoleID, "vault-role-id", "", "AppRole to log in to Vault with; needs --vault-secret-id-file")
	fs.StringVar(&v.SecretIDFile, "vault-secret-id-file", "", "file with the secret id of --vault-role-id")
	fs.StringVar(&v.Auth, "vault-auth", "approle", "where Vault's AppRole method is mounted")
	fs.StringVar(&v.TokenFile, "vault-token-file", "", "file with a token to log in to Vault with, instead of an AppRole; read again when the token ends")
	fs.StringVar(&v.CA, "vault-ca", "", "file with certificates (PEM) to believe beside the system's, for Vault")
}

// Check refuses what can't work.
func (s *Secrets) Check() error {
	if v := s.vault; v.Address == "" && (v.RoleID != "" || v.SecretIDFile != "" || v.TokenFile != "" || v.CA != "" || v.Namespace != "") {
		return errors.New("settings of Vault are given, and its address is not; give --vault https://HOST:PORT")
	}
	return nil
}

// Config is what the settings amount to.
func (s *Secrets) Config() backend.SecretsConfig {
	return backend.SecretsConfig{Key: s.key, Vault: s.vault}
}
