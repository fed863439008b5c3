package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// defaultEngine is where a Docker engine listens on this machine.
const defaultEngine = "unix:///var/run/docker.sock"

// checkDocker asks the engine that `ci exec` would use whether it is there (GET /_ping of the Docker Engine API).
func (a *app) checkDocker(ctx context.Context) finding {
	host := a.Env("DOCKER_HOST")
	if host == "" {
		host = defaultEngine
	}
	network, address, _ := strings.Cut(host, "://")
	if network != "unix" && network != "tcp" {
		return warn("docker", "Set DOCKER_HOST to unix:///path or tcp://host:port.", "DOCKER_HOST is %q; only `ci exec` needs it", host)
	}
	if network == "tcp" && a.Env("DOCKER_TLS_VERIFY") != "" {
		return good("docker", "%s with TLS, not asked; only `ci exec` needs it", host)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/_ping", nil)
	if err != nil {
		return warn("docker", "Set DOCKER_HOST to unix:///path or tcp://host:port.", "%v", err)
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return warn("docker", "Start one, or set DOCKER_HOST; only `ci exec` needs it.", "no engine at %s: %v", host, unwrapURL(err))
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<10))
	return good("docker", "an engine at %s, API %s", host, res.Header.Get("Api-Version"))
}
