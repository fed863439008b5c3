// Package vault keeps jobs' secrets in HashiCorp Vault, or OpenBao: each in a
// path of its own of a KV engine of version 2, under the key "value".
//
// It logs in by AppRole, or with a token from a file, renews what it got, logs
// in anew when that ends, and revokes an AppRole's token when it closes. While
// Vault is away or sealed every call is ci.CodeUnavailable; opening is not
// hindered by that.
package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"ci/backend/secret"
	"ci/pkg/ci"
)

// Config says where Vault is, and who we are there.
type Config struct {
	// Address is its URL: https://, or http:// on loopback.
	Address   string
	Namespace string
	// Mount is where the KV engine is mounted (default "secret").
	Mount string
	// Path is where a secret lies in it (default "ci/{job}/{name}"); it ends with {name} as a whole part.
	Path string
	// RoleID and SecretIDFile log in by the AppRole method that is mounted at Auth (default "approle").
	RoleID       string
	SecretIDFile string
	Auth         string
	// TokenFile holds a token instead.
	TokenFile string
	// CA is a file with further certificates to believe (PEM).
	CA string
	// Timeout bounds one request (default 10 s).
	Timeout time.Duration
	Log     *slog.Logger
}

// Vault is a secret.Store.
type Vault struct {
	config Config
	client *api.Client
	log    *slog.Logger

	logging chan struct{} // holds one token while nobody logs in
	mu      sync.Mutex
	closing sync.Once
	session int // counts log-ins; 0 is none yet
	keeping *keeper
}

var _ secret.Store = (*Vault)(nil)

// Open checks the configuration and makes a client. It asks Vault nothing.
func Open(c Config) (*Vault, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(&api.Config{
		Address: c.Address, Timeout: c.Timeout, DisableRedirects: true,
		HttpClient: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	})
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the address of Vault, %s, can't be used: %w", c.Address, err)
	}
	// The library has read VAULT_TOKEN and VAULT_NAMESPACE; who we are is in the settings alone.
	client.ClearToken()
	client.ClearNamespace()
	if c.Namespace != "" {
		client.SetNamespace(c.Namespace)
	}
	v := &Vault{config: c, client: client, log: c.Log, logging: make(chan struct{}, 1)}
	v.logging <- struct{}{}
	return v, nil
}

func (c Config) withDefaults() Config {
	for to, value := range map[*string]string{&c.Mount: "secret", &c.Path: "ci/{job}/{name}", &c.Auth: "approle"} {
		if *to == "" {
			*to = value
		}
	}
	c.Mount, c.Auth = strings.Trim(c.Mount, "/"), strings.Trim(c.Auth, "/")
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) check() error {
	u, err := url.Parse(c.Address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http"):
		return ci.Errorf(ci.CodeInvalid, "the address of Vault is not a URL like https://vault.example.com:8200")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return ci.Errorf(ci.CodeInvalid, "the address of Vault, %s, is not encrypted; use https", c.Address)
	case (c.RoleID == "") != (c.SecretIDFile == ""):
		return ci.Errorf(ci.CodeInvalid, "to log in to Vault by AppRole, give both a role id and a file with its secret id")
	case (c.RoleID == "") == (c.TokenFile == ""):
		return ci.Errorf(ci.CodeInvalid, "to log in to Vault, give either an AppRole (role id, and a file with its secret id) or a file with a token")
	}
	return c.checkPath()
}

// checkPath sees to it that no two secrets share a path, and that a job's
// secrets are what one folder holds.
func (c Config) checkPath() error {
	parts := strings.Split(c.Path, "/")
	jobs := 0
	for i, p := range parts {
		switch {
		case p == "{job}":
			jobs++
		case p == "{name}" && i == len(parts)-1:
		case p == "" || p == "." || p == ".." || strings.ContainsAny(p, "{}?#%+ "):
			return ci.Errorf(ci.CodeInvalid, "the path for secrets in Vault, %q, has a part %q; an example is ci/{job}/{name}", c.Path, p)
		}
	}
	if jobs != 1 || parts[len(parts)-1] != "{name}" {
		return ci.Errorf(ci.CodeInvalid, "the path for secrets in Vault, %q, must have {job} as a part once and end with {name}; an example is ci/{job}/{name}", c.Path)
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

func (c Config) transport() (*http.Transport, error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t = &http.Transport{}
	}
	t = t.Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the certificates for Vault can't be read: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, ci.Errorf(ci.CodeInvalid, "%s holds no certificate in PEM", c.CA)
	}
	t.TLSClientConfig.RootCAs = pool
	return t, nil
}

// Check returns nil when Vault answers and lets us in.
func (v *Vault) Check(ctx context.Context) error {
	_, err := v.enter(ctx, 0)
	return err
}

// Close ends the renewal, and revokes the token that an AppRole gave. Calling
// it again does nothing; any other call after it waits for its context's end.
func (v *Vault) Close() (err error) {
	v.closing.Do(func() { err = v.close() })
	return err
}

func (v *Vault) close() error {
	<-v.logging // and nobody logs in any more
	v.mu.Lock()
	keeping, entered := v.keeping, v.session > 0
	v.mu.Unlock()
	keeping.stop()
	if !entered || v.config.RoleID == "" {
		return nil
	}
	// The caller's context has ended long ago; the token should not outlive us.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := v.client.Auth().Token().RevokeSelfWithContext(ctx, ""); err != nil {
		return ci.Errorf(ci.CodeUnavailable, "Vault's token is not revoked, it ends by itself: %w", plain(err))
	}
	return nil
}
