package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"golang.org/x/oauth2"

	"ci/pkg/ci"
)

// maxAnswer is the longest answer of a provider that is read, in bytes.
const maxAnswer = 1 << 20

// newClient calls providers: not for long, not for much, and not where they redirect to,
// since calls carry secrets.
func newClient(next http.RoundTripper) *http.Client {
	if next == nil {
		next = http.DefaultTransport
	}
	return &http.Client{
		Transport: bounded{next}, Timeout: callTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts answers off at maxAnswer.
type bounded struct{ next http.RoundTripper }

// RoundTrip sends the request as it is.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// secret reads a client's secret. It is read for each use, so that a new one needs no restart.
func secret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the client secret can't be read: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", fmt.Errorf("the client secret's file %s is empty", file)
	}
	return text, nil
}

// exchange hands in a code, once.
func exchange(ctx context.Context, client *http.Client, c *oauth2.Config, title string, f flow, code string) (*oauth2.Token, error) {
	t, err := c.Exchange(context.WithValue(ctx, oauth2.HTTPClient, client), code, oauth2.VerifierOption(f.Verifier))
	if err == nil {
		return t, nil
	}
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response != nil && refused.Response.StatusCode >= 500 {
		return nil, away(title, err)
	}
	switch refused.ErrorCode {
	case "invalid_grant", "bad_verification_code":
		return nil, &ci.Error{Code: ci.CodeUnauthorized, Message: title + " does not take its own answer: it was used before, or is too old; begin the sign-in again", Cause: err}
	case "invalid_client", "incorrect_client_credentials", "unauthorized_client":
		return nil, &ci.Error{Code: ci.CodeUnavailable, Message: title + " does not know this server by its client id and secret; an administrator compares them with what is registered there", Cause: err}
	}
	return nil, &ci.Error{Code: ci.CodeUnavailable, Message: fmt.Sprintf("%s has refused to say who you are (%.100s); the server's log says more", title, cmp.Or(refused.ErrorCode, "without a reason")), Cause: err}
}

// away is the error of a provider that does not answer as it should. What it has said is for the log.
func away(title string, err error) error {
	return &ci.Error{Code: ci.CodeUnavailable, Message: title + " does not answer as it should at the moment, so nobody can sign in by it; try again later, or sign in with a token", Cause: err}
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
