package ci

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
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

// MinMasked is the shortest value, in bytes, that is masked in what a run
// prints. Shorter ones would mask half of any text.
const MinMasked = 4

// MaxSecrets is how many secrets a job may have.
const MaxSecrets = 256

// ValidateSecretName checks the name that scripts find a secret under.
func ValidateSecretName(name string) error {
	var f faults
	checkEnvName(&f, "name", name)
	return f.err("the secret")
}

// ValidateSecret checks a new value and the name that scripts will find it under.
func ValidateSecret(name, value string) error {
	var f faults
	checkEnvName(&f, "name", name)
	switch {
	case value == "":
		f.add("value", "is empty; delete the secret to remove it")
	case len(value) > MaxSecret:
		f.add("value", "has %d bytes; at most %d are allowed", len(value), MaxSecret)
	case !utf8.ValidString(value):
		f.add("value", "is not text (UTF-8); encode it, for example as base64")
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

// registryHost is a DNS name or an IPv4 address with an optional port, as image references have it.
var registryHost = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)

// Validate checks an account before it is kept.
func (a *RegistryAccess) Validate() error {
	var f faults
	if !registryHost.MatchString(a.Host) || len(a.Host) > 255 {
		f.add("host", "%q is not a registry's host as image references name it, in lower case: docker.io, or registry.example.com:5000", a.Host)
	}
	switch {
	case a.Username == "":
		f.add("username", "is missing")
	case len(a.Username) > 255 || !clean(a.Username) || strings.Contains(a.Username, ":"):
		f.add("username", "must have at most 255 bytes and hold no colon and no control characters")
	}
	switch { // the message must not quote it
	case a.Password == "":
		f.add("password", "is missing")
	case len(a.Password) > MaxSecret || !clean(a.Password):
		f.add("password", "must have at most %d bytes and hold no control characters", MaxSecret)
	}
	return f.err("the account")
}
