package rest

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ci/backend/auth"
	"ci/pkg/ci"
)

// authenticate returns the request with its principal. It stands before every
// route that is not public, and before paths that do not exist.
func (s *server) authenticate(w http.ResponseWriter, r *http.Request, m match) (*http.Request, error) {
	if m.route != nil && m.route.Action == auth.MetricsRead && local(r) {
		return r.WithContext(auth.WithPrincipal(r.Context(), auth.Principal{Name: "loopback", Role: ci.RoleRead})), nil
	}
	bearer, err := bearerOf(r)
	var p auth.Principal
	if err == nil {
		p, err = s.Auth.Verify(r.Context(), bearer)
	}
	if ci.CodeOf(err) == ci.CodeUnauthorized {
		challenge := `Bearer realm="ci"`
		if bearer != "" {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if err != nil {
		return r, err
	}
	return r.WithContext(auth.WithPrincipal(r.Context(), p)), nil
}

func bearerOf(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", ci.Errorf(ci.CodeUnauthorized, "a token is needed: send the header Authorization: Bearer abc.def.ghi")
	}
	scheme, bearer, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return "", ci.Errorf(ci.CodeUnauthorized, "the Authorization header is not of the form: Bearer abc.def.ghi")
	}
	return bearer, nil
}

// local says whether the peer is on this machine and speaks for itself. A
// proxy on this machine speaks for others, and says so in a header.
func local(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && net.ParseIP(host).IsLoopback()
}

// checkHost refuses requests that a web page could make a browser send: those
// addressed to a name that is not ours, and changes that come from another origin.
func (s *server) checkHost(r *http.Request) error {
	host := hostname(r.Host)
	if !s.hostAllowed(r.Context(), host) {
		return ci.Errorf(ci.CodeForbidden, "this server does not answer to the name %q; its administrator can add it to the allowed hosts", cutText(host, 100))
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return ci.Errorf(ci.CodeForbidden, "requests that change something are not accepted from another origin (%q)", cutText(origin, 100))
		}
	}
	return nil
}

func (s *server) hostAllowed(ctx context.Context, host string) bool {
	if len(s.Hosts) > 0 {
		return slices.ContainsFunc(s.Hosts, func(h string) bool { return h == "*" || strings.EqualFold(h, host) })
	}
	addr, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !net.ParseIP(hostname(addr.String())).IsLoopback() {
		return true
	}
	return strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") || net.ParseIP(host).IsLoopback()
}

// hostname is a Host header without port and brackets.
func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
