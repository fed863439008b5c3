package ci

import (
	"strings"
	"time"
)

// Secret is what is shown of a secret: never its value.
type Secret struct {
	Job  string
	Name string
	// Version grows with each new value. The first is 1.
	Version   int64
	UpdatedAt time.Time
	// UpdatedBy is the name of the token that set it.
	UpdatedBy string
}

// MaxSecret is the longest value, in bytes.
const MaxSecret = 64 << 10

// MaxSecrets is how many secrets a job may have.
const MaxSecrets = 256

// ValidateSecret checks a new value and the name that scripts will find it under.
func ValidateSecret(name, value string) error {
	var f faults
	checkEnvName(&f, "name", name)
	switch {
	case value == "":
		f.add("value", "is empty; delete the secret to remove it")
	case len(value) > MaxSecret:
		f.add("value", "has %d bytes; at most %d are allowed", len(value), MaxSecret)
	case strings.ContainsRune(value, 0):
		f.add("value", "holds a NUL byte, which no environment variable can; encode it, for example as base64")
	}
	return f.err("the secret")
}

// Registry is an account at an image registry, for pulls. Its password is never shown.
type Registry struct {
	// Host is the registry as image references name it: "docker.io", "registry.example.com:5000".
	Host      string
	Username  string
	UpdatedAt time.Time
	UpdatedBy string
}

// RegistryAccess is a Registry with what opens it.
type RegistryAccess struct {
	Host     string
	Username string
	Password string
}
