package daemon

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"ci/backend"
	"ci/backend/signin"
)

// signIn are the settings that say who beside tokens says who people are.
type signIn struct {
	oidc        signin.OIDC
	oidcRoles   []string
	github      signin.GitHub
	githubRoles []string
}

func (s *signIn) flags(fs *pflag.FlagSet) {
	o, g := &s.oidc, &s.github
	fs.StringVar(&o.Issuer, "oidc-issuer", "", "OpenID provider that people sign in to the pages by, exactly as it calls itself: https://HOST/… (default: none)")
	fs.StringVar(&o.ClientID, "oidc-client-id", "", "what the OpenID provider knows this server by; registered there with the redirect URI URL/ui/sign-in/oidc/callback")
	fs.StringVar(&o.SecretFile, "oidc-client-secret-file", "", "file with the secret of --oidc-client-id (default: a public client, without one)")
	fs.StringVar(&o.Title, "oidc-title", "OpenID Connect", "what people call the OpenID provider")
	fs.StringSliceVar(&o.Scopes, "oidc-scopes", []string{"email", "profile"}, "what the OpenID provider is asked for besides openid")
	fs.StringSliceVar(&s.oidcRoles, "oidc-roles", nil, "who gets which role, ROLE:CLAIM=VALUE: admin:groups=ci-admins, trigger:domain=example.com, read:email=alice@example.com; may be repeated, the strongest counts, and nobody else is let in")
	fs.StringVar(&g.ClientID, "github-login-client-id", "", "OAuth App of GitHub that people sign in to the pages by, with the callback URL URL/ui/sign-in/github/callback (default: none)")
	fs.StringVar(&g.SecretFile, "github-login-client-secret-file", "", "file with a secret of --github-login-client-id")
	fs.StringVar(&g.URL, "github-login-url", "https://github.com", "GitHub, or a GitHub Enterprise Server, of --github-login-client-id")
	fs.StringSliceVar(&s.githubRoles, "github-login-roles", nil, "who gets which role, ROLE:WHAT=VALUE: admin:team=ORG/SLUG, trigger:org=ORG, read:login=octocat, read:id=583231; may be repeated, the strongest counts, and nobody else is let in")
}

// config is what the settings amount to.
func (s *signIn) config() (c backend.SignInConfig, err error) {
	if s.oidc.Rules, err = signin.ParseRules(s.oidcRoles); err != nil {
		return c, fmt.Errorf("--oidc-roles: %w", err)
	}
	if s.github.Rules, err = signin.ParseRules(s.githubRoles, signin.GitHubFacts...); err != nil {
		return c, fmt.Errorf("--github-login-roles: %w", err)
	}
	switch o, g := &s.oidc, &s.github; {
	case o.Issuer == "" && (o.ClientID != "" || o.SecretFile != "" || len(o.Rules) > 0):
		return c, errors.New("settings of an OpenID provider are given, and its address is not; give --oidc-issuer https://HOST/…")
	case g.ClientID == "" && (g.SecretFile != "" || len(g.Rules) > 0):
		return c, errors.New("settings of signing in by GitHub are given without --github-login-client-id")
	case o.Issuer != "" && len(o.Rules) == 0:
		return c, errors.New("--oidc-issuer lets nobody in without a rule; give --oidc-roles, for example read:email=alice@example.com")
	case g.ClientID != "" && len(g.Rules) == 0:
		return c, errors.New("--github-login-client-id lets nobody in without a rule; give --github-login-roles, for example read:org=ORG")
	}
	if s.oidc.Issuer != "" {
		c.OIDC = &s.oidc
	}
	if s.github.ClientID != "" {
		c.GitHub = &s.github
	}
	if err := signin.Check(c.OIDC, c.GitHub); err != nil {
		return c, err
	}
	return c, nil
}
