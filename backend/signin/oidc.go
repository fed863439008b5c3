package signin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"ci/pkg/ci"
)

const (
	oidcName = "oidc"
	// discoveryLife is how long a provider's description of itself is believed.
	discoveryLife = time.Hour
	// leeway is how far a provider's clock may be behind ours.
	leeway = 30 * time.Second
)

// OIDC is an OpenID provider.
type OIDC struct {
	// Issuer is its address, exactly as it calls itself.
	Issuer string
	// ClientID and the secret in SecretFile are what it knows this server by. A public client has no secret.
	ClientID   string
	SecretFile string
	// Title is what people call it; "" is OpenID Connect.
	Title string
	// Scopes are asked for besides openid.
	Scopes []string
	// Rules say who gets which role. Email and domain are facts where the
	// provider has verified the address; all others are claims of the ID token — text, numbers, or lists of them — by name
	// or by a path with dots.
	Rules []Rule
}

// openID is an OpenID provider at work.
type openID struct {
	OIDC
	client *http.Client
	now    func() time.Time

	flight singleflight.Group
	mu     sync.Mutex
	found  *discovered
}

// discovered is what a provider says of itself.
type discovered struct {
	*oidc.Provider
	style oauth2.AuthStyle
	// says whether its answers name their issuer (RFC 9207).
	issuer bool
	at     time.Time
}

func newOpenID(c OIDC, client *http.Client, now func() time.Time) (*openID, error) {
	if _, err := checkURL("the OpenID issuer", c.Issuer); err != nil {
		return nil, err
	}
	if c.ClientID == "" {
		return nil, errors.New("an OpenID issuer is given without --oidc-client-id")
	}
	if _, err := secret(c.SecretFile); err != nil {
		return nil, err
	}
	if err := checkAddresses(c.Rules); err != nil {
		return nil, err
	}
	c.Title, c.Rules = cmp.Or(c.Title, "OpenID Connect"), byStrength(c.Rules)
	return &openID{OIDC: c, client: client, now: now}, nil
}

func (o *openID) title() string { return o.Title }

func (o *openID) setting() string { return "--oidc-roles" }

// discover asks the provider what it is, once for all who want to know, and now and then.
func (o *openID) discover(ctx context.Context) (*discovered, error) {
	o.mu.Lock()
	d := o.found
	o.mu.Unlock()
	if d != nil && o.now().Sub(d.at) < discoveryLife {
		return d, nil
	}
	// The answer is for all who wait for it, so the first one's leaving must not spoil it; the client's own limit ends it.
	flight := o.flight.DoChan("", func() (any, error) { return o.ask(context.WithoutCancel(ctx)) })
	select {
	case <-ctx.Done():
		return nil, away(o.Title, context.Cause(ctx))
	case r := <-flight:
		if r.Err != nil {
			return nil, away(o.Title, r.Err)
		}
		return r.Val.(*discovered), nil
	}
}

func (o *openID) ask(ctx context.Context) (*discovered, error) {
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, o.client), o.Issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
		Issuer  bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := p.Claims(&more); err != nil {
		return nil, err
	}
	for what, address := range map[string]string{"authorization endpoint": p.Endpoint().AuthURL, "token endpoint": p.Endpoint().TokenURL} {
		if _, err := checkEndpoint(what, address); err != nil {
			return nil, err
		}
	}
	d := &discovered{Provider: p, style: oauth2.AuthStyleInHeader, issuer: more.Issuer, at: o.now()}
	if o.SecretFile == "" || len(more.Methods) > 0 && !slices.Contains(more.Methods, "client_secret_basic") {
		d.style = oauth2.AuthStyleInParams
	}
	o.mu.Lock()
	o.found = d
	o.mu.Unlock()
	return d, nil
}

func (o *openID) oauth(d *discovered, back string) (*oauth2.Config, error) {
	key, err := secret(o.SecretFile)
	if err != nil {
		return nil, &ci.Error{Code: ci.CodeUnavailable, Message: "this server can't read what " + o.Title + " knows it by; its log says more", Cause: err}
	}
	endpoint := d.Endpoint()
	endpoint.AuthStyle = d.style
	return &oauth2.Config{ClientID: o.ClientID, ClientSecret: key, Endpoint: endpoint, RedirectURL: back, Scopes: append([]string{oidc.ScopeOpenID}, o.Scopes...)}, nil
}

func (o *openID) begin(ctx context.Context, f flow, back string) (string, error) {
	d, err := o.discover(ctx)
	if err != nil {
		return "", err
	}
	c, err := o.oauth(d, back)
	if err != nil {
		return "", err
	}
	return c.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), nil
}

func (o *openID) finish(ctx context.Context, f flow, back string, a ci.SignInAnswer) (*person, error) {
	d, err := o.discover(ctx)
	if err != nil {
		return nil, err
	}
	if a.Issuer != "" && a.Issuer != o.Issuer || a.Issuer == "" && d.issuer {
		return nil, o.untrue(fmt.Errorf("the answer is of the issuer %.200q", a.Issuer))
	}
	c, err := o.oauth(d, back)
	if err != nil {
		return nil, err
	}
	t, err := exchange(ctx, o.client, c, o.Title, f, a.Code)
	if err != nil {
		return nil, err
	}
	claims, err := o.verify(ctx, d, f, t)
	if err != nil {
		return nil, err
	}
	return o.judge(claims), nil
}

// verify returns what the ID token says, once all of it is as OpenID Connect Core 3.1.3.7 wants it.
func (o *openID) verify(ctx context.Context, d *discovered, f flow, t *oauth2.Token) (claims, error) {
	raw, _ := t.Extra("id_token").(string)
	if raw == "" {
		return nil, o.untrue(errors.New("there is no ID token in the answer"))
	}
	v := d.VerifierContext(oidc.ClientContext(ctx, o.client), &oidc.Config{ClientID: o.ClientID, Now: func() time.Time { return o.now().Add(-leeway) }})
	id, err := v.Verify(ctx, raw)
	if err != nil {
		return nil, o.untrue(err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1 {
		return nil, o.untrue(errors.New("the ID token's nonce is of another sign-in"))
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(t.AccessToken); err != nil {
			return nil, o.untrue(err)
		}
	}
	c, err := claimsOf(id)
	if err != nil {
		return nil, o.untrue(err)
	}
	if azp := c.text("azp"); azp != "" && azp != o.ClientID || len(id.Audience) > 1 && azp == "" {
		return nil, o.untrue(fmt.Errorf("the ID token is for %v and was given to %.200q", id.Audience, azp))
	}
	if c.text("sub") == "" {
		return nil, o.untrue(errors.New("the ID token names nobody"))
	}
	return c, nil
}

// untrue is the error of what can't be believed. Why is for the log.
func (o *openID) untrue(err error) error {
	return &ci.Error{Code: ci.CodeUnauthorized, Message: "what " + o.Title + " has answered can't be believed, so you are not signed in; begin again, and if that does not help, the server's log says what was wrong", Cause: err}
}

// judge finds the strongest role that a rule gives.
func (o *openID) judge(c claims) *person {
	p := &person{Subject: c.text("sub"), Name: c.text("sub")}
	email := lower(c.text("email"))
	switch user := c.text("preferred_username"); {
	case email != "" && c.verified():
		p.Name = email
	case user != "" && !strings.Contains(user, "@"):
		// People choose it, so it must not read like somebody's address.
		p.Name = "user-" + user
	}
	_, domain, _ := strings.Cut(email, "@")
	for _, r := range o.Rules {
		var holds bool
		switch r.Fact {
		case "email":
			holds = email == lower(r.Value)
		case "domain":
			holds = lower(domain) == lower(r.Value)
		default:
			if c.has(r.Fact, r.Value) {
				p.Role = r.Role
				return p
			}
			continue
		}
		if holds && c.verified() {
			p.Role = r.Role
			return p
		}
		if holds {
			p.Hint = fmt.Sprintf(": one would for the address %.200s, but %s has not verified that it is yours", email, o.Title)
		}
	}
	return p
}

// checkAddresses refuses rules for addresses that can't be compared.
func checkAddresses(rules []Rule) error {
	for _, r := range rules {
		if (r.Fact == "email" || r.Fact == "domain") && !ascii(r.Value) {
			return fmt.Errorf("the rule %s:%s=%s has letters beyond ASCII, of which several look the same; write a domain as xn--…, or ask for another claim", r.Role, r.Fact, r.Value)
		}
	}
	return nil
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// lower makes small letters of an address. One with others than ASCII stays as it is:
// Unicode knows letters that become small ASCII ones (the Kelvin sign is one), and that would be somebody else's address.
func lower(address string) string {
	if !ascii(address) {
		return address
	}
	return strings.ToLower(address)
}

// claims are what an ID token says. Numbers are as they are written there.
type claims map[string]any

func claimsOf(id *oidc.IDToken) (claims, error) {
	var raw json.RawMessage
	if err := id.Claims(&raw); err != nil {
		return nil, err
	}
	var c claims
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // of a float64, seven digits would be 1e+06
	err := dec.Decode(&c)
	return c, err
}

func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// verified says whether the e-mail address is the person's. Some providers write it as text.
func (c claims) verified() bool {
	return c["email_verified"] == true || c["email_verified"] == "true"
}

// has says whether a claim is a value, or a list with it.
func (c claims) has(name, value string) bool {
	v := c.at(name)
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, func(one any) bool { return is(one, value) })
	}
	return is(v, value)
}

// is says whether a single thing in JSON is a value.
func is(v any, value string) bool {
	switch v.(type) {
	case bool, json.Number, string:
		return fmt.Sprint(v) == value
	}
	return false
}

// at is a claim by its name, or by a path through objects: realm_access.roles.
func (c claims) at(name string) any {
	if v, ok := c[name]; ok {
		return v
	}
	var v any = map[string]any(c)
	for _, part := range strings.Split(name, ".") {
		m, _ := v.(map[string]any)
		v = m[part]
	}
	return v
}
