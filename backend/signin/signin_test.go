package signin

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"ci/backend/auth"
	"ci/backend/signin/idptest"
	"ci/pkg/ci"
)

// noTokens is for tests that get none.
type noTokens struct{ Tokens }

func (noTokens) Verify(context.Context, string) (auth.Principal, error) {
	return auth.Principal{}, ci.Errorf(ci.CodeUnauthorized, "unknown")
}

func setup(t *testing.T, now func() time.Time) (*Service, *idptest.OpenID, string) {
	t.Helper()
	idp := idptest.NewOpenID(t)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("s"), 0o600))
	s, err := New(Config{
		Tokens: noTokens{}, Key: make([]byte, 32), URL: "https://ci.example.com/", Log: slog.New(slog.DiscardHandler), Now: now,
		OIDC: &OIDC{Issuer: idp.URL, ClientID: idptest.ClientID, SecretFile: secret},
	})
	require.NoError(t, err)
	return s, idp, secret
}

// A flow is good for a while, at its provider, with its state, and unchanged.
func TestFlows(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s, _, _ := setup(t, func() time.Time { return now })
	f := newFlow(oidcName, now.Add(flowLife), false)
	sealed, err := s.sealer.seal(f)
	require.NoError(t, err)
	got, err := s.sealer.open(sealed, oidcName, f.State, now.Add(flowLife-time.Second))
	require.NoError(t, err)
	require.Equal(t, f, *got)
	require.NotContains(t, sealed, f.State)
	for name, open := range map[string]func() error{
		"late":            func() error { _, err := s.sealer.open(sealed, oidcName, f.State, now.Add(flowLife)); return err },
		"elsewhere":       func() error { _, err := s.sealer.open(sealed, githubName, f.State, now); return err },
		"another state":   func() error { _, err := s.sealer.open(sealed, oidcName, "x", now); return err },
		"without a state": func() error { _, err := s.sealer.open(sealed, oidcName, "", now); return err },
		"cut":             func() error { _, err := s.sealer.open(sealed[:len(sealed)-4], oidcName, f.State, now); return err },
		"empty":           func() error { _, err := s.sealer.open("", oidcName, "", now); return err },
		"of other servers": func() error {
			o, _ := newSealer(make([]byte, 33))
			_, err := o.open(sealed, oidcName, f.State, now)
			return err
		},
	} {
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(open()), name)
	}
	require.Equal(t, f.tokenID(), got.tokenID())
	require.EqualValues(t, 7, f.tokenID().Version())
	require.Equal(t, uuid.RFC4122, f.tokenID().Variant())
	made, _ := f.tokenID().Time().UnixTime()
	require.Equal(t, now.Unix(), made, "tokens stay in the order of time")
	require.NotEqual(t, f.tokenID(), newFlow(oidcName, now.Add(flowLife), false).tokenID())
	other := newFlow(oidcName, now, false)
	require.True(t, other.State != f.State && other.Nonce != f.Nonce && other.Verifier != f.Verifier && f.State != f.Nonce)
}

// The address that people are led to says all that the provider needs, and no secret.
func TestBegin(t *testing.T) {
	t.Parallel()
	s, idp, secret := setup(t, nil)
	begun, err := s.Begin(t.Context(), oidcName, "", false)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(begun.URL, idp.URL+"/authorize?"))
	for _, part := range []string{"client_id=" + idptest.ClientID, "code_challenge_method=S256", "redirect_uri=https%3A%2F%2Fci.example.com%2Fui%2Fsign-in%2Foidc%2Fcallback", "nonce=", "state=", "response_type=code"} {
		require.Contains(t, begun.URL, part)
	}
	require.NoError(t, os.Remove(secret))
	_, err = s.Begin(t.Context(), oidcName, "", false)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	require.ErrorContains(t, err, "its log says more")
}

func (s *Service) taken() int {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	return s.room.taken
}

// Whoever signs in is not known yet, so there is an end to how many do at once.
func TestSeats(t *testing.T) {
	t.Parallel()
	s, idp, _ := setup(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := make(chan struct{}, seats)
	idp.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		asked <- struct{}{}
		<-r.Context().Done()
		return true
	})
	done := make(chan error, seats)
	for i := range seats {
		go func() {
			_, err := s.Begin(ctx, oidcName, fmt.Sprintf("192.0.2.%d:443", i), false)
			done <- err
		}()
	}
	<-asked
	require.Eventually(t, func() bool { return s.taken() == seats }, time.Minute, time.Millisecond)
	_, err := s.Begin(t.Context(), oidcName, "", false)
	require.Equal(t, ci.CodeTooMany, ci.CodeOf(err))
	cancel() // everybody leaves
	for range seats {
		require.Equal(t, ci.CodeUnavailable, ci.CodeOf(<-done))
	}
	require.Zero(t, s.taken())
}

// openapi.yaml describes every route, and nothing else.
func TestOpenAPIIsComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	var doc struct{ Paths map[string]map[string]any }
	require.NoError(t, yaml.Unmarshal(text, &doc))
	var described, served []string
	for path, operations := range doc.Paths {
		for method := range operations {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	s, _, _ := setup(t, nil)
	for pattern := range s.routes() {
		if pattern != "/" {
			served = append(served, pattern)
		}
	}
	require.ElementsMatch(t, served, described)
}

func TestNamesOfTokens(t *testing.T) {
	t.Parallel()
	for person, want := range map[string]string{
		"alice@example.com": `^oidc-alice-example\.com-[0-9a-f]{8}$`, "Ünï\n<b>": `^oidc--n---b--[0-9a-f]{8}$`, "": `^oidc--[0-9a-f]{8}$`, strings.Repeat("x", 500): `^oidc-x{64}-[0-9a-f]{8}$`,
	} {
		name := tokenName(oidcName, person)
		require.Regexp(t, want, name)
		require.NoError(t, ci.ValidateName(name))
		require.Regexp(t, madeName, name, "a sign-in's token knows itself")
	}
}

func TestTokensThatASignInHasMade(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s, _, _ := setup(t, func() time.Time { return now })
	end := now.Add(life)
	require.True(t, s.made(auth.Principal{Name: tokenName(githubName, "octocat"), ExpiresAt: end}))
	for name, p := range map[string]auth.Principal{
		"by name":      {Name: "deploy-1a2b3c4d", ExpiresAt: end},
		"a longer one": {Name: tokenName(oidcName, "alice"), ExpiresAt: end.Add(time.Hour)},
		"without end":  {Name: tokenName(oidcName, "alice")},
	} {
		require.False(t, s.made(p), name)
	}
}

func TestRulesAreSortedByStrength(t *testing.T) {
	t.Parallel()
	list, err := ParseRules([]string{"read:a=b", " admin : x.y = c=d ", "trigger:https://e/f=g"})
	require.NoError(t, err)
	require.Equal(t, []Rule{{ci.RoleAdmin, "x.y", "c=d"}, {ci.RoleTrigger, "https://e/f", "g"}, {ci.RoleRead, "a", "b"}}, byStrength(list))
	for _, bad := range []string{"", "read", "read:a", "read:=b", "read:a=", "run:a=b", "owner:a=b", ":a=b"} {
		_, err := ParseRules([]string{bad})
		require.Error(t, err, bad)
	}
}

func TestAddressesOfProviders(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://id.example.com", "https://id.example.com/realms/x", "http://127.0.0.1:80", "http://localhost/x", "http://[::1]:1"} {
		_, err := checkURL("it", good)
		require.NoError(t, err, good)
	}
	for _, bad := range []string{"http://id.example.com", "http://127.0.0.1.evil.test", "id.example.com", "ftp://x", "https://u:p@x", "https://x?y", "https://x#y", "https:///x", ""} {
		_, err := checkURL("it", bad)
		require.Error(t, err, bad)
	}
}

// Letters that only become, or look like, those of a rule are another address.
func TestAddressesAreComparedAsTheyAre(t *testing.T) {
	t.Parallel()
	o, err := newOpenID(OIDC{Issuer: "https://id.example.com", ClientID: "x", Rules: []Rule{{ci.RoleAdmin, "email", "Kim@Desk.test"}, {ci.RoleRead, "domain", "Desk.test"}}}, nil, nil)
	require.NoError(t, err)
	for email, want := range map[string]ci.Role{
		"kim@desk.test": ci.RoleAdmin, "KIM@DESK.TEST": ci.RoleAdmin, "jo@Desk.test": ci.RoleRead,
		"\u212aim@DESK.test": ci.RoleRead, "jo@de\u017fk.test": "", "jo@des\u212a.test": "", "": "",
	} {
		require.Equal(t, want, o.judge(claims{"sub": "1", "email": email, "email_verified": true}).Role, email)
	}
	require.Equal(t, "user-kim-desk.test", o.judge(claims{"sub": "1", "preferred_username": "kim-desk.test"}).Name, "a name that people choose is no address")
	require.Equal(t, "1", o.judge(claims{"sub": "1", "preferred_username": "kim@desk.test"}).Name)
	require.Equal(t, "1", o.judge(claims{"sub": "1", "email": "kim@desk.test"}).Name)
	for _, rule := range []Rule{{ci.RoleRead, "email", "jo@dé.test"}, {ci.RoleRead, "domain", "de\u017fk.test"}} {
		require.ErrorContains(t, Check(&OIDC{Issuer: "https://id.example.com", ClientID: "x", Rules: []Rule{rule}}, nil), "beyond ASCII")
	}
	require.NoError(t, Check(&OIDC{Issuer: "https://id.example.com", ClientID: "x", Rules: []Rule{{ci.RoleRead, "groups", "dé"}}}, nil))
}
