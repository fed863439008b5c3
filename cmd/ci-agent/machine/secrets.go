package machine

import (
	"github.com/spf13/pflag"

	"ci/backend"
)

// Secrets are the settings that say where secrets lie, the same for cid and ci-agent.
type Secrets struct {
	key string
}

// Flags defines the settings; missing says what happens without a key.
func (s *Secrets) Flags(fs *pflag.FlagSet, missing string) {
	fs.StringVar(&s.key, "secret-key", "", "file with the keys that seal secrets in the database, the same for all cids and ci-agents (default: "+missing+")")
}

// Config is what the settings amount to.
func (s *Secrets) Config() backend.SecretsConfig {
	return backend.SecretsConfig{Key: s.key}
}
