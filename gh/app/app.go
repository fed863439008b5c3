// Package app calls forges: GitHub as the App that somebody registered there,
// or as one of its installations, and all of them with a plain token where
// there is no App. Tokens of installations are kept in memory until shortly
// before their end, and no request is made before the forge's rate limits allow it.
package app

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-github/v60/github"

	"ci/pkg/ci"
)

// Forges knows the forges and what opens them. Each call may read a database;
// whoever implements it may answer from a few seconds ago.
type Forges interface {
	// Forge returns the forge of that name, or ci.CodeNotFound.
	Forge(ctx context.Context, name string) (*ci.ForgeAccess, error)
	// List returns all forges by name.
	List(ctx context.Context) ([]ci.Forge, error)
}

// Config is what Apps needs.
type Config struct {
	Forges Forges
	// HTTP makes the requests; nil is a client with a limit of half a minute.
	HTTP *http.Client
	Log  *slog.Logger
	// Now is the clock; nil is the machine's.
	Now func() time.Time
}

// requestLimit is how long a request may take, its answer's body included.
const requestLimit = 30 * time.Second

// Apps hands out clients of forges. It is safe for concurrent use.
type Apps struct {
	config Config

	mu      sync.Mutex
	clients map[clientKey]*client
	git     map[gitKey]*keeper
}

// clientKey names a client; installation 0 works with the forge's token, and
// asApp is the App itself.
type clientKey struct {
	forge        string
	installation int64
}

const asApp = -1

// client is a client of a forge as it was when it was made.
type client struct {
	of     imprint
	github *github.Client
}

// imprint tells apart whatever a client is made of. A forge's name and version
// don't: one that was deleted and made again begins with version 1 too.
type imprint [sha256.Size]byte

func imprintOf(f *ci.ForgeAccess) imprint {
	return sha256.Sum256(fmt.Appendf(nil, "%q %d %q %q", f.APIURL(), f.AppID, f.PrivateKey, f.Token))
}

// New makes an Apps.
func New(c Config) *Apps {
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: requestLimit}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Apps{config: c, clients: map[clientKey]*client{}, git: map[gitKey]*keeper{}}
}

// Client returns a client that works as an installation of the forge's App, or
// with the forge's token when installation is 0; then the forge may be any, and
// its requests are JSON below its APIURL. Errors of its calls are told by
// Explain. Making it asks nobody; the first call gets a token.
func (a *Apps) Client(ctx context.Context, forge string, installation int64) (*github.Client, error) {
	f, err := a.config.Forges.Forge(ctx, forge)
	if err != nil {
		return nil, err
	}
	switch {
	case installation < 0:
		return nil, ci.Errorf(ci.CodeInvalid, "%d is not an installation", installation)
	case installation == 0 && f.Token == "":
		return nil, ci.Errorf(ci.CodeConflict, "forge %s has no token, and its App is not installed there: install the App, or set a token", forge)
	case installation > 0 && f.AppID == 0:
		return nil, ci.Errorf(ci.CodeConflict, "forge %s has no App any more, which installation %d belonged to", forge, installation)
	}
	return a.client(f, installation)
}

// Forge returns what is known of a forge.
func (a *Apps) Forge(ctx context.Context, name string) (*ci.ForgeAccess, error) {
	return a.config.Forges.Forge(ctx, name)
}

// AppClient returns a client that works as the App itself: for its
// installations and its webhooks' deliveries.
func (a *Apps) AppClient(ctx context.Context, forge string) (*github.Client, error) {
	f, err := a.config.Forges.Forge(ctx, forge)
	if err != nil {
		return nil, err
	}
	if f.AppID == 0 {
		return nil, ci.Errorf(ci.CodeConflict, "forge %s has no App", forge)
	}
	return a.client(f, asApp)
}

// client returns the kept client, or makes one when the forge has changed.
func (a *Apps) client(f *ci.ForgeAccess, installation int64) (*github.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := clientKey{f.Name, installation}
	if c := a.clients[key]; c != nil && c.of == imprintOf(f) {
		return c.github, nil
	}
	auth, err := a.credentials(f, installation)
	if err != nil {
		return nil, err
	}
	made, err := newClient(a.config, f.APIURL(), auth)
	if err != nil {
		return nil, err
	}
	a.clients[key] = &client{of: imprintOf(f), github: made}
	return made, nil
}

// credentials decides what a client shows. a.mu is held.
func (a *Apps) credentials(f *ci.ForgeAccess, installation int64) (credentials, error) {
	if installation == 0 {
		return fixed(f.Token), nil
	}
	key, err := parseKey(f)
	if err != nil {
		return nil, err
	}
	self := &appKey{id: f.AppID, key: key, now: a.config.Now}
	if installation == asApp {
		return self, nil
	}
	minter, err := newClient(a.config, f.APIURL(), self)
	if err != nil {
		return nil, err
	}
	return newKeeper(a.config.Now, apiMargin, 0, func(ctx context.Context) (*github.InstallationToken, error) {
		return mintForAPI(ctx, minter, installation)
	}), nil
}

// newClient makes a client of the API at base that shows auth.
func newClient(c Config, base string, auth credentials) (*github.Client, error) {
	u, err := url.Parse(base + "/")
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the API's address %q can't be used: %w", base, err)
	}
	under := c.HTTP.Transport
	if under == nil {
		under = http.DefaultTransport
	}
	web := *c.HTTP
	web.Transport = &transport{under: under, api: u, auth: auth, now: c.Now}
	made := github.NewClient(&web)
	made.BaseURL, made.UploadURL, made.UserAgent = u, u, "ci"
	return made, nil
}

// InPath escapes the parts of a name between its slashes, as paths of a forge's API have them.
func InPath(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
