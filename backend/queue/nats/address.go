package nats

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"ci/pkg/ci"
)

// address is what Config.URL says: the servers of one cluster, and how to be
// known to them.
type address struct {
	servers              []string
	authority, cert, key string // PEM files; "" for none
	credentials          string // file of a user's JWT and seed; "" for none
	replicas             int    // 0 when it says nothing
	parameters           url.Values
}

// parse reads servers with commas between them. Parameters may stand behind
// any of them, and are meant for all.
func parse(urls string) (*address, error) {
	a := &address{parameters: url.Values{}}
	for _, part := range strings.Split(urls, ",") {
		u, err := url.Parse(strings.TrimSpace(part))
		// The words of url.Parse may hold the password.
		if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" {
			return nil, ci.Errorf(ci.CodeInvalid, "the queue's address %s can't be used; it has to look like nats://USER:PASSWORD@HOST:4222 or tls://HOST:4222, with special signs in the password written as %%XX", redact(part))
		}
		for name, values := range u.Query() {
			a.parameters[name] = append(a.parameters[name], values...)
		}
		u.RawQuery = ""
		a.servers = append(a.servers, u.String())
	}
	return a, a.read()
}

// read takes each parameter in.
func (a *address) read() error {
	for name, values := range a.parameters {
		v := values[len(values)-1]
		switch name {
		case "cacertfile":
			a.authority = v
		case "certfile":
			a.cert = v
		case "keyfile":
			a.key = v
		case "credentials":
			a.credentials = v
		case "replicas":
			n, err := strconv.Atoi(v)
			if err != nil || n != 1 && n != 3 && n != 5 {
				return ci.Errorf(ci.CodeInvalid, "replicas=%s in the queue's address is not possible in NATS; use 1, 3 or 5", v)
			}
			a.replicas = n
		default:
			return ci.Errorf(ci.CodeInvalid, "the queue's address has a parameter %q; for NATS there are cacertfile, certfile, keyfile, credentials and replicas", name)
		}
	}
	if (a.cert == "") != (a.key == "") {
		return ci.Errorf(ci.CodeInvalid, "certfile and keyfile in the queue's address go together")
	}
	return nil
}

// options make a client known to the servers, and the servers to it. The
// files are read again at each connection, so that they can be renewed.
func (a *address) options() (opts []nats.Option) {
	if a.authority != "" {
		opts = append(opts, nats.RootCAs(a.authority))
	}
	if a.cert != "" {
		opts = append(opts, nats.ClientCert(a.cert, a.key))
	}
	if a.credentials != "" {
		opts = append(opts, nats.UserCredentials(a.credentials))
	}
	return opts
}

// redact removes passwords, tokens and parameters from the addresses.
func redact(urls string) string {
	parts := strings.Split(urls, ",")
	for i, p := range parts {
		u, err := url.Parse(strings.TrimSpace(p))
		if err != nil || u.Host == "" {
			parts[i] = "(an address that can't be read)"
			continue
		}
		u.User, u.RawQuery = nil, ""
		parts[i] = u.String()
	}
	return strings.Join(parts, ",")
}
