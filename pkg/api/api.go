// Package api is the client of the API, in the words of pkg/ci. Calls go over
// Connect with protobuf; byte streams and events over plain HTTP. Errors are
// *ci.Error with the server's code, sentence and fields; a server that can't
// be reached is ci.CodeUnavailable.
package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	"ci/pkg/api/gen/ci/v1/civ1connect"
	"ci/pkg/ci"
)

// Config says where a server is and who calls.
type Config struct {
	// URL is the server's address, for example http://127.0.0.1:8080.
	URL string
	// Token is the bearer token, abc.def.ghi.
	Token string
	// TokenSource is asked for the token of each request, where it is replaced now and then. Default: Token.
	TokenSource func() string
	// HTTP makes the requests. It must have no timeout of its own: answers may be
	// held, and streams last. Default: a client of this package's own.
	HTTP *http.Client
	// UserAgent tells the server's log who we are. Default: ci.
	UserAgent string
	// Trace is where the caller is in a distributed trace; every request says so. Default: nowhere.
	Trace *ci.Trace
	// Retry bounds how long a call that may be repeated is repeated. Default: 30 s; negative never repeats.
	Retry time.Duration
}

// Client calls one server. It is safe for many callers at once.
type Client struct {
	base   *url.URL
	config Config
	http   *http.Client

	jobs    civ1connect.JobServiceClient
	runs    civ1connect.RunServiceClient
	agents  civ1connect.AgentServiceClient
	system  civ1connect.ConfigServiceClient
	tokens  civ1connect.TokenServiceClient
	secrets civ1connect.SecretServiceClient
	sshKeys civ1connect.SSHKeyServiceClient
	forges  civ1connect.ForgeServiceClient

	retention civ1connect.RetentionServiceClient
}

// New checks the configuration. It does not call the server.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.URL)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, ci.Errorf(ci.CodeInvalid, "%q is not the address of a server; an example is http://127.0.0.1:8080", c.URL)
	}
	if strings.ContainsAny(c.Token, " \r\n") {
		return nil, ci.Errorf(ci.CodeInvalid, "the token holds a space or a line end; it has the form abc.def.ghi")
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Transport: transport()}
	}
	if c.UserAgent == "" {
		c.UserAgent = "ci"
	}
	if c.Retry == 0 {
		c.Retry = 30 * time.Second
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	h := &http.Client{Transport: &signed{c}, CheckRedirect: refuseRedirect, Timeout: c.HTTP.Timeout, Jar: c.HTTP.Jar}
	root := base.String()
	return &Client{
		base: base, config: c, http: h,
		jobs:    civ1connect.NewJobServiceClient(h, root),
		runs:    civ1connect.NewRunServiceClient(h, root),
		agents:  civ1connect.NewAgentServiceClient(h, root),
		system:  civ1connect.NewConfigServiceClient(h, root),
		tokens:  civ1connect.NewTokenServiceClient(h, root),
		secrets: civ1connect.NewSecretServiceClient(h, root),
		sshKeys: civ1connect.NewSSHKeyServiceClient(h, root),
		forges:  civ1connect.NewForgeServiceClient(h, root),

		retention: civ1connect.NewRetentionServiceClient(h, root),
	}, nil
}

// As is a client of the same server for somebody else. Both share their connections.
func (c *Client) As(token string) (*Client, error) {
	config := c.config
	config.Token, config.TokenSource = token, nil
	return New(config)
}

// transport is the standard one with more connections to one host: a command
// that follows a hundred runs talks to one server only.
func transport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = 64
	return t
}

// signed adds the headers that every request has.
type signed struct{ Config }

// RoundTrip sends a copy of the request: a transport must not change the one it is given.
func (s *signed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	token := s.Token
	if s.TokenSource != nil {
		token = s.TokenSource()
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("User-Agent", s.UserAgent)
	s.trace(r)
	next := s.HTTP.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(r)
}

// traced is the key of where a call is in a trace, if it is not where the client is.
type traced struct{}

// trace says where in a trace a request comes from.
func (s *signed) trace(r *http.Request) {
	from := s.Trace
	if own, ok := r.Context().Value(traced{}).(*ci.Trace); ok {
		from = own
	}
	if from == nil {
		return
	}
	r.Header.Set(ci.TraceParentHeader, from.Parent())
	if from.State != "" {
		r.Header.Set(ci.TraceStateHeader, from.State)
	}
}

// refuseRedirect keeps the token from going where somebody else points. The API redirects nowhere.
func refuseRedirect(r *http.Request, _ []*http.Request) error {
	return errors.New("the server redirects to " + r.URL.Redacted() + "; give that address instead")
}

// unary is a generated method of a Connect client.
type unary[In, Out any] func(context.Context, *In) (*Out, error)

// once calls a method that must not be repeated.
func once[In, Out any](ctx context.Context, c *Client, fn unary[In, Out], in *In) (*Out, error) {
	out, err := fn(ctx, in)
	return out, c.fault(ctx, err)
}

// call calls a method that may be repeated, until it is answered.
func call[In, Out any](ctx context.Context, c *Client, fn unary[In, Out], in *In) (*Out, error) {
	var out *Out
	err := c.retry(ctx, func() (time.Duration, error) {
		var err error
		if out, err = fn(ctx, in); err == nil {
			return 0, nil
		}
		var ce *connect.Error
		if errors.As(err, &ce) {
			return retryAfter(ce.Meta()), c.fault(ctx, err)
		}
		return 0, c.fault(ctx, err)
	})
	return out, err
}
