// Package signin exchanges what somebody trusted says about a person — an OpenID
// provider, or GitHub — for a token of the API that ends soon. Rules say who gets
// which role; whom no rule is about gets none. It keeps nothing between the beginning of a
// sign-in and its end, so any cid finishes what another one began: once, since the
// token's id is made of the sign-in, and the database has each id once.
package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"ci/backend/auth"
	"ci/pkg/ci"
)

const (
	// life is how long the token of a sign-in opens anything: a working day.
	life = 12 * time.Hour
	// flowLife is how long a person may take at the provider.
	flowLife = 10 * time.Minute
	// patience is how long the end of a sign-in may take, with all that the provider is asked.
	patience = 20 * time.Second
	// callTime is how long one call of a provider may take.
	callTime = 8 * time.Second
)

// Tokens makes and ends tokens; backend/auth and the store behind it are one.
type Tokens interface {
	// MintOnce returns ci.CodeConflict when there ever was a token of that id.
	MintOnce(ctx context.Context, id uuid.UUID, t ci.Token) (bearer string, recorded ci.Token, err error)
	Verify(ctx context.Context, bearer string) (auth.Principal, error)
	// Revoke ends a token's life.
	Revoke(ctx context.Context, id string) error
}

// Config is what the exchange needs. All fields are required but those that say otherwise.
type Config struct {
	Tokens Tokens
	// Key seals what is under way: at least 32 random bytes, the same in all cids.
	Key []byte
	// URL is where people reach the server; providers lead them back below it.
	URL string
	// OIDC and GitHub are who says who people are; nil is nobody.
	OIDC   *OIDC
	GitHub *GitHub
	Log    *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Transport reaches the providers. Default: http.DefaultTransport.
	Transport http.RoundTripper
}

// provider is one that says who people are.
type provider interface {
	title() string
	// setting is where an administrator gives roles.
	setting() string
	// begin returns where the person is led.
	begin(ctx context.Context, f flow, back string) (string, error)
	// finish returns who the person is, of whom the provider has given an answer.
	finish(ctx context.Context, f flow, back string, a ci.SignInAnswer) (*person, error)
}

// person is somebody whom a provider has told of.
type person struct {
	// Subject is what the provider never gives to anybody else.
	Subject string
	// Name is what people know them by.
	Name string
	// Role is "" where no rule is about them.
	Role ci.Role
	// Hint says why no rule is, where that may not be plain.
	Hint string
}

// Service is the exchange.
type Service struct {
	Config
	sealer    *sealer
	names     []string // in the order in which they are shown
	providers map[string]provider
	room      *room
}

// New checks the configuration. No provider is asked for anything yet.
func New(c Config) (*Service, error) {
	if c.Tokens == nil || c.Log == nil {
		return nil, errors.New("signin: Tokens and Log are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	sealer, err := newSealer(c.Key)
	if err != nil {
		return nil, err
	}
	s := &Service{Config: c, sealer: sealer, providers: map[string]provider{}, room: newRoom()}
	client := newClient(c.Transport)
	if c.OIDC != nil {
		if s.providers[oidcName], err = newOpenID(*c.OIDC, client, c.Now); err != nil {
			return nil, err
		}
		s.names = append(s.names, oidcName)
	}
	if c.GitHub != nil {
		if s.providers[githubName], err = newHub(*c.GitHub, client); err != nil {
			return nil, err
		}
		s.names = append(s.names, githubName)
	}
	return s, nil
}

// Check refuses settings that can't work, before anything is opened.
func Check(o *OIDC, g *GitHub) error {
	if o != nil {
		if _, err := newOpenID(*o, nil, nil); err != nil {
			return err
		}
	}
	if g != nil {
		if _, err := newHub(*g, nil); err != nil {
			return err
		}
	}
	return nil
}

// Providers lists who says who people are.
func (s *Service) Providers() []ci.SignInProvider {
	list := []ci.SignInProvider{}
	for _, name := range s.names {
		list = append(list, ci.SignInProvider{Name: name, Title: s.providers[name].title()})
	}
	return list
}

func (s *Service) provider(name string) (provider, error) {
	p := s.providers[name]
	if p == nil {
		return nil, ci.Errorf(ci.CodeNotFound, "nobody signs in by %.50q here; GET /sign-in lists by whom one does", name)
	}
	return p, nil
}

// back is where a provider leads people back to. It is the server's own page and
// never what a caller says.
func (s *Service) back(name string) string {
	return strings.TrimRight(s.URL, "/") + "/ui/sign-in/" + name + "/callback"
}

// enter takes a seat for a peer, and limits the time in it.
func (s *Service) enter(ctx context.Context, peer string) (_ context.Context, leave func(), err error) {
	stand, err := s.room.take(peer)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	return ctx, func() { cancel(); stand() }, nil
}

// Begin begins a sign-in. peer is the HOST:PORT that asks for it; with paste the
// page that the provider leads back to shows its answer instead of taking it.
func (s *Service) Begin(ctx context.Context, name, peer string, paste bool) (*ci.SignIn, error) {
	p, err := s.provider(name)
	if err != nil {
		return nil, err
	}
	ctx, leave, err := s.enter(ctx, peer)
	if err != nil {
		return nil, err
	}
	defer leave()
	f := newFlow(name, s.Now().Add(flowLife), paste)
	to, err := p.begin(ctx, f, s.back(name))
	if err != nil {
		return nil, err
	}
	sealed, err := s.sealer.seal(f)
	return &ci.SignIn{URL: to, Flow: sealed}, err
}

// Finish exchanges a provider's answer for a token. peer is as for Begin.
func (s *Service) Finish(ctx context.Context, name, peer string, a ci.SignInAnswer) (*ci.SignedIn, error) {
	p, err := s.provider(name)
	if err != nil {
		return nil, err
	}
	f, err := s.sealer.open(a.Flow, name, a.State, s.Now())
	if err != nil {
		return nil, err
	}
	if a.Error != "" || a.Code == "" {
		return nil, ci.Errorf(ci.CodeForbidden, "%s has not signed you in: %.100s %.300s", p.title(), cmp.Or(a.Error, "it gave no reason"), a.ErrorDescription)
	}
	ctx, leave, err := s.enter(ctx, peer)
	if err != nil {
		return nil, err
	}
	defer leave()
	who, err := p.finish(ctx, *f, s.back(name), a)
	if err != nil {
		s.Log.Warn("a sign-in failed", "provider", name, "err", errors.Join(err, errors.Unwrap(err)))
		return nil, err
	}
	if who.Role == "" {
		s.Log.Warn("a person without a role wanted to sign in", "provider", name, "subject", who.Subject, "name", who.Name)
		return nil, ci.Errorf(ci.CodeForbidden, "%s says that you are %.200s, and nothing here gives you a role%s; ask an administrator, who gives one by the setting %s", p.title(), who.Name, who.Hint, p.setting())
	}
	return s.mint(ctx, *f, who)
}

// mint makes the one token of a sign-in, which is named after the person so that lists and logs say who acts.
func (s *Service) mint(ctx context.Context, f flow, who *person) (*ci.SignedIn, error) {
	bearer, t, err := s.Tokens.MintOnce(ctx, f.tokenID(), ci.Token{Name: tokenName(f.Provider, who.Name), Role: who.Role, ExpiresAt: s.Now().Add(life)})
	if ci.CodeOf(err) == ci.CodeConflict {
		s.Log.Warn("a sign-in was to be finished twice", "provider", f.Provider, "subject", who.Subject, "name", who.Name)
		return nil, ci.Errorf(ci.CodeConflict, "this sign-in is finished already, and gives no second token; begin it again")
	}
	if err != nil {
		return nil, err
	}
	s.Log.Info("signed in", "provider", f.Provider, "subject", who.Subject, "name", who.Name, "role", who.Role, "token", t.ID, "token_name", t.Name)
	return &ci.SignedIn{Bearer: bearer, ID: t.ID, Name: t.Name, Role: t.Role, ExpiresAt: t.ExpiresAt}, nil
}

// End ends the caller's own token, if a sign-in has made it. Others are used elsewhere,
// too, so only an administrator ends those.
func (s *Service) End(ctx context.Context, bearer string) error {
	p, err := s.Tokens.Verify(ctx, bearer)
	if err != nil {
		return err
	}
	if err := auth.May(p, auth.SelfEnd, ""); err != nil {
		return err
	}
	if !s.made(p) {
		return ci.Errorf(ci.CodeForbidden, "no sign-in has made the token %s, so it may be used elsewhere; an administrator ends it with DELETE /tokens/%s", p.Name, p.TokenID)
	}
	if err := s.Tokens.Revoke(ctx, p.TokenID); err != nil {
		return err
	}
	s.Log.Info("signed out", "token", p.TokenID, "name", p.Name)
	return nil
}

// madeName is the form of tokenName's names.
var madeName = regexp.MustCompile(`^(?:` + oidcName + `|` + githubName + `)-[A-Za-z0-9._-]*-[0-9a-f]{8}$`)

// made says whether a token is one of a sign-in: by its name, and by when it ends.
func (s *Service) made(p auth.Principal) bool {
	return madeName.MatchString(p.Name) && !p.ExpiresAt.IsZero() && !p.ExpiresAt.After(s.Now().Add(life))
}

// tokenName is the provider, the person as far as a name may say it, and something
// that no other sign-in has.
func tokenName(provider, person string) string {
	clean := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
			return c
		}
		return '-'
	}, person)
	return fmt.Sprintf("%s-%s-%s", provider, clean[:min(len(clean), 64)], uuid.NewString()[:8])
}

// checkURL refuses addresses of providers that anybody on the way could answer for.
func checkURL(what, address string) (*url.URL, error) {
	u, err := checkEndpoint(what, address)
	if err == nil && (u.RawQuery != "" || u.Fragment != "") {
		return nil, fmt.Errorf("%s %q is not an address such as https://id.example.com", what, address)
	}
	return u, err
}

// checkEndpoint is checkURL for what a provider says of itself, which may have a query.
func checkEndpoint(what, address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return nil, fmt.Errorf("%s %q is not an address such as https://id.example.com", what, address)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("%s %q does not begin with https://, so anybody on the way could say who people are", what, address)
}
