package api

import (
	"context"
	"net/http"
	"net/url"

	"ci/pkg/ci"
)

// SignInProviders lists who may say who people are. It needs no token.
func (c *Client) SignInProviders(ctx context.Context) ([]ci.SignInProvider, error) {
	var list struct{ Providers []ci.SignInProvider }
	_, err := c.document(ctx, ask{method: http.MethodGet, path: "/sign-in", again: true}, &list)
	return list.Providers, err
}

// BeginSignIn begins a sign-in at a provider. It needs no token.
func (c *Client) BeginSignIn(ctx context.Context, provider string) (begun *ci.SignIn, err error) {
	_, err = c.document(ctx, ask{method: http.MethodPost, path: "/sign-in/" + url.PathEscape(provider), again: true}, &begun)
	return begun, err
}

// BeginPastedSignIn is BeginSignIn for who has no page that the provider leads
// back to: the server's page shows the answer there, and the person takes it on.
func (c *Client) BeginPastedSignIn(ctx context.Context, provider string) (begun *ci.SignIn, err error) {
	_, err = c.document(ctx, ask{method: http.MethodPost, path: "/sign-in/" + url.PathEscape(provider), in: map[string]bool{"paste": true}, again: true}, &begun)
	return begun, err
}

// FinishSignIn exchanges what a provider has answered for a token, once. It
// needs no token. ci.CodeForbidden says that the person has no role here.
func (c *Client) FinishSignIn(ctx context.Context, provider string, answer ci.SignInAnswer) (in *ci.SignedIn, err error) {
	_, err = c.document(ctx, ask{method: http.MethodPost, path: "/sign-in/" + url.PathEscape(provider) + "/token", in: answer}, &in)
	return in, err
}

// SignOut ends the client's own token.
func (c *Client) SignOut(ctx context.Context) error {
	_, err := c.document(ctx, ask{method: http.MethodDelete, path: "/sign-in/token"}, nil)
	return err
}
