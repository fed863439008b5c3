package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type loginOptions struct {
	*app
	name     string
	browser  bool
	provider string
}

func newLogin(a *app) *cobra.Command {
	o := &loginOptions{app: a}
	cmd := &cobra.Command{
		Use:   "login URL",
		Short: "Store a server's address and token",
		Long: "Store a server's address and token as a context, and make it the current one. The token is read from standard input, " +
			"or asked for on a terminal without showing it; it is never an argument. It is tried out before it is stored.\n\n" +
			"With --browser you sign in by the server's OpenID provider or GitHub: ci prints an address, which you open in any browser, on any machine, " +
			"and asks for what the page shows in the end. The token that you get ends after twelve hours.",
		Example: "  ci login http://127.0.0.1:8080 < data/admin.token\n  ci login https://ci.example.com --name work < token\n  ci login https://ci.example.com --browser",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVar(&o.name, "name", "", "call the context so; default is the server's host")
	cmd.Flags().BoolVar(&o.browser, "browser", false, "sign in with a browser, by who says who people are")
	cmd.Flags().StringVar(&o.provider, "provider", "", "by whom, where the server knows several: oidc or github; implies --browser")
	return cmd
}

func (o *loginOptions) run(ctx context.Context, address string) error {
	address, err := checkURL(address)
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	if o.name == "" {
		u, _ := url.Parse(address) // checkURL has
		o.name = u.Host
	}
	warnPlain(o.app, address)
	token, err := o.token(ctx, address)
	if err != nil {
		return err
	}
	e := endpoint{URL: address, Token: token}
	if err := o.try(ctx, e); err != nil {
		return err
	}
	stored, err := o.loadContexts()
	if err != nil {
		return err
	}
	stored.Contexts[o.name], stored.Current = e, o.name
	if err := o.saveContexts(stored); err != nil {
		return err
	}
	o.note("Logged in to %s as context %s.", clean(address), clean(o.name))
	return nil
}

// token is what the browser brings, or who calls.
func (o *loginOptions) token(ctx context.Context, address string) (string, error) {
	if o.browser || o.provider != "" {
		return o.byBrowser(ctx, address)
	}
	return o.readToken(ctx)
}

// readToken asks for the token, or reads the first line of a pipe.
func (o *loginOptions) readToken(ctx context.Context) (string, error) {
	var line []byte
	var err error
	if o.InTTY {
		fmt.Fprint(o.Err, "Token: ")
		line, err = o.ReadSecret()
		fmt.Fprintln(o.Err)
	} else {
		line, err = bufio.NewReader(io.LimitReader(o.In, 64<<10)).ReadBytes('\n')
		if err == io.EOF {
			err = nil
		}
	}
	token := strings.TrimSpace(string(line))
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", usagef("the token can't be read: %w", err)
	case token == "":
		return "", usagef("the token is empty; give it on standard input, for example: ci login URL < token-file")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", usagef("that is not a token; it holds spaces or characters that no token has")
	}
	return token, nil
}

// try asks something that every token but an agent's may.
func (o *loginOptions) try(ctx context.Context, e endpoint) error {
	_, err := newREST(e, o.userAgent()).document(ctx, http.MethodGet, "/jobs?pageSize=1", nil)
	if ci.CodeOf(err) == ci.CodeForbidden {
		o.note("The token is valid, but may not list jobs.")
		return nil
	}
	return err
}

// warnPlain says that a token would travel in the clear.
func warnPlain(a *app, address string) {
	if !plainIsFine(address) {
		a.note("ci: %s is not encrypted; whoever sees the network sees the token.", clean(address))
	}
}

// plainIsFine says whether a token travels to an address encrypted, or within this machine.
func plainIsFine(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "https" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || (err == nil && ip.IsLoopback())
}
