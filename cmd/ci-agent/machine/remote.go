package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ci/pkg/api"
	"ci/pkg/ci"
)

// tokenVariable may hold the token instead of a file. It is no flag: what
// stands in a command line is there for everyone on the machine to read.
const tokenVariable = "CI_AGENT_TOKEN"

const (
	// termsTimeout bounds one question for the terms.
	termsTimeout = 10 * time.Second
	// termsPause is the longest time between two of them while no cid answers.
	termsPause  = 5 * time.Second
	dialTimeout = 5 * time.Second
	// A connection that many calls share is asked whether it lives after quiet
	// seconds, and given up when it does not say so in time.
	pingAfter, pingTimeout = 10 * time.Second, 5 * time.Second
)

// remote says whether the agent has an URL and a token alone.
func (s *settings) remote() bool { return s.tokenFile != "" || s.token != "" }

// checkRemote refuses settings that an agent without direct access has no use for.
func (s *settings) checkRemote() error {
	if s.tokenFile != "" && s.token != "" {
		return fmt.Errorf("both --token-file and $%s are given; one of them will do", tokenVariable)
	}
	for name, v := range map[string]string{
		"database": s.database, "queue": s.queue, "blobs": s.blobs, "secret-key": s.secrets.key, "vault": s.secrets.vault.Address, "traces": s.traces,
	} {
		if v != "" {
			return fmt.Errorf("--%s is for agents with access to the database; with a token the cids at --url do all that, so leave one of them out", name)
		}
	}
	return nil
}

// runRemote carries runs out over the API.
func (s *settings) runRemote(ctx context.Context, words *door, log *slog.Logger) error {
	client, err := s.client(log)
	if err != nil {
		return err
	}
	backend := client.Agent()
	terms, err := s.terms(ctx, backend, log)
	if err != nil {
		return err
	}
	if s.id != "" && s.id != terms.Agent {
		return ci.Errorf(ci.CodeInvalid, "--id is %s, and the token speaks for agent %s; leave --id out, or give the token of that agent", s.id, terms.Agent)
	}
	s.id = terms.Agent
	scripts, err := proxy(s.url, log)
	if err != nil {
		return err
	}
	log.Info("working over the API", "url", s.url, "agent", terms.Agent, "lease", terms.Lease)
	agent, err := New(s.Options, Parts{
		Dir: s.data, Uplink: backend, Queue: backend, Bus: backend, Classes: backend.Classes, Depths: backend.Depths,
		Lease: terms.Lease, Reborn: backend.Disown, API: scripts, Log: log,
	})
	if err != nil {
		return err
	}
	words.lead(agent)
	return drainOnSignal(ctx, agent)
}

// client calls the cids with the agent's token.
func (s *settings) client(log *slog.Logger) (*api.Client, error) {
	if u, err := url.Parse(s.url); err == nil && u.Scheme == "http" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback() {
		log.Warn("--url is http: the token, and the secrets of runs, go over the network as they are; use https", "url", s.url)
	}
	transport := agentTransport()
	if s.tokenFile != "" {
		if _, err := readToken(s.tokenFile); err != nil {
			return nil, err
		}
		transport = &bearer{file: s.tokenFile, next: transport}
	}
	return api.New(api.Config{URL: s.url, Token: s.token, UserAgent: "ci-agent/" + Version, HTTP: &http.Client{Transport: transport}})
}

// agentTransport notices soon that the other side is gone: a lease is short.
func agentTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = 64
	t.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: pingAfter}).DialContext
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	return t
}

// bearer adds the token that a file holds. The file is read each time, so that
// a new token needs no restart.
type bearer struct {
	file string
	next http.RoundTripper
}

// RoundTrip sends a copy of the request: a transport must not change the one it is given.
func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := readToken(b.file)
	if err != nil {
		return nil, errors.Join(err, closeBody(r))
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(r)
}

// closeBody closes a request's body, as a transport has to.
func closeBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	return r.Body.Close()
}

func readToken(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the agent's token can't be read: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsAny(token, " \r\n") {
		return "", fmt.Errorf("%s holds no token; `ci token create NAME --role agent` prints one", file)
	}
	return token, nil
}

// terms asks until a cid answers. What the token does not open, waiting does not either.
func (s *settings) terms(ctx context.Context, a *api.Agent, log *slog.Logger) (*ci.Terms, error) {
	for failed := 0; ; failed++ {
		asked, cancel := context.WithTimeout(ctx, termsTimeout)
		terms, err := a.Terms(asked)
		cancel()
		switch ci.CodeOf(err) {
		case "":
			return terms, nil
		case ci.CodeUnavailable, ci.CodeTooMany, ci.CodeInternal:
		default:
			return nil, err
		}
		if failed == 0 {
			log.Warn("no cid answers yet; trying on", "url", s.url, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(termsPause/4 + rand.N(termsPause*3/4)):
		}
	}
}
