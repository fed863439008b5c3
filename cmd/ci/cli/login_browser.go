package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ci/pkg/ci"
)

// byBrowser signs a person in, by a browser that may be anywhere, and returns the token.
func (o *loginOptions) byBrowser(ctx context.Context, address string) (string, error) {
	server := newREST(endpoint{URL: address}, o.userAgent())
	provider, err := o.whoSays(ctx, server)
	if err != nil {
		return "", err
	}
	at := "/sign-in/" + url.PathEscape(provider)
	var begun ci.SignIn
	if err := exchange(ctx, server, http.MethodPost, at, map[string]bool{"paste": true}, &begun); err != nil {
		return "", err
	}
	page, err := url.Parse(begun.URL)
	if err != nil || page.Scheme != "https" && page.Scheme != "http" {
		return "", &ci.Error{Code: ci.CodeUnavailable, Message: "the server leads to no page where one could sign in"}
	}
	state := page.Query().Get("state")
	word := ci.SignInWord(state)
	if word == "" {
		return "", &ci.Error{Code: ci.CodeUnavailable, Message: "the server is older than this and can't be signed in to from a terminal; make a token on its page, and give it on standard input"}
	}
	o.note("Open this address in any browser and sign in:\n\n  %s\n\nThe page that you come to then names this sign-in %s. Paste here what it shows:", clean(begun.URL), clean(word))
	if o.ErrTTY {
		if err := o.browse(ctx, begun.URL); err != nil {
			o.note("ci: %s", clean(err.Error()))
		}
	}
	answer, err := o.readAnswer(ctx, state)
	if err != nil {
		return "", err
	}
	answer.Flow = begun.Flow
	var in ci.SignedIn
	if err := exchange(ctx, server, http.MethodPost, at+"/token", answer, &in); err != nil {
		return "", err
	}
	o.note("You are %s, of the role %s, until %s.", clean(in.Name), clean(string(in.Role)), stamp(in.ExpiresAt))
	return in.Bearer, nil
}

// whoSays is who says who people are: the one that was asked for, or the only one.
func (o *loginOptions) whoSays(ctx context.Context, server *rest) (string, error) {
	var list struct{ Providers []ci.SignInProvider }
	if err := exchange(ctx, server, http.MethodGet, "/sign-in", nil, &list); err != nil {
		return "", err
	}
	var names []string
	for _, p := range list.Providers {
		names = append(names, clean(p.Name))
	}
	switch {
	case len(names) == 0:
		return "", usagef("nobody signs in to this server by a browser; give a token on standard input")
	case o.provider == "" && len(names) > 1, o.provider != "" && !slices.Contains(names, o.provider):
		return "", usagef("choose by whom you sign in here: --provider %s", strings.Join(names, " or "))
	}
	return cmp.Or(o.provider, names[0]), nil
}

// exchange sends JSON and reads JSON.
func exchange(ctx context.Context, server *rest, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	res, err := server.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	if err := json.NewDecoder(io.LimitReader(res.Body, maxDocument)).Decode(out); err != nil {
		return &ci.Error{Code: ci.CodeUnavailable, Message: "what answers there is no server of ours", Cause: err}
	}
	return nil
}

// line reads a line of standard input.
func (o *loginOptions) line(ctx context.Context) (string, error) {
	if o.InTTY && o.ErrTTY {
		return o.ReadLine(ctx)
	}
	type read struct {
		line string
		err  error
	}
	lines := make(chan read, 1) // nothing ends a read of a pipe; whoever is interrupted leaves it behind
	go func() {
		line, err := bufio.NewReader(io.LimitReader(o.In, 64<<10)).ReadString('\n')
		if err == io.EOF {
			err = nil
		}
		lines <- read{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case got := <-lines:
		return got.line, got.err
	}
}

// readAnswer reads what the page has shown, or the page's address.
func (o *loginOptions) readAnswer(ctx context.Context, state string) (*ci.SignInAnswer, error) {
	line, err := o.line(ctx)
	var stopped *exitError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &stopped):
		return nil, err
	case err != nil:
		return nil, usagef("the answer can't be read: %w", err)
	}
	text := strings.TrimSpace(line)
	if _, query, ok := strings.Cut(text, "?"); ok {
		text = query
	}
	q, err := url.ParseQuery(text)
	switch {
	case err != nil || q.Get("state") == "":
		return nil, usagef("that is not what the page shows: it has state=… in it; run ci login again")
	case q.Get("state") != state:
		return nil, usagef("that is the answer to another sign-in; run ci login again, and open the address that it prints then")
	}
	return &ci.SignInAnswer{State: state, Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error"), ErrorDescription: q.Get("error_description")}, nil
}
