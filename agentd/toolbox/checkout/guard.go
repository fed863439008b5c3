package checkout

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"ci/pkg/address"
)

// guard is the way of http and https to submodules. Their addresses come from
// the commit's author, and the checkout has the network of the machine: so
// everything but the repository's own host has to be at a public address. It
// is a proxy, since only who makes the connection knows where it leads: names
// may change their mind between a look and a connection.
type guard struct {
	own      string // host:port that the repository itself is at
	host     string // the same as its address has it
	password string // others on the machine may not use it
	listener net.Listener
	server   *http.Server
	served   sync.WaitGroup
	resolve  func(ctx context.Context, host string) ([]netip.Addr, error)
	machine  func(netip.Addr) (bool, error) // whether an address is the machine's own
}

// newGuard begins to listen on the loopback.
func newGuard(repository string) (*guard, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the way to submodules can't be guarded: %w", err)
	}
	own, host := authority(repository)
	g := &guard{own: own, host: host, password: rand.Text(), listener: l, resolve: lookup, machine: address.OfMachine}
	forward := &httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) {}, // the request names its host already
		Transport: &http.Transport{DialContext: g.dial, DisableCompression: true},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusForbidden)
		},
	}
	g.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !g.known(r):
			w.Header().Set("Proxy-Authenticate", `Basic realm="checkout"`)
			http.Error(w, "this is a checkout's own", http.StatusProxyAuthRequired)
		case r.Method == http.MethodConnect:
			g.connect(w, r)
		default:
			r.Header.Del("Proxy-Authorization")
			forward.ServeHTTP(w, r)
		}
	})}
	g.served.Go(func() { _ = g.server.Serve(l) }) // ends with close
	return g, nil
}

func (g *guard) close() {
	_ = g.server.Close()
	g.served.Wait()
}

// settings are the git configuration that leads through the guard. git's own
// protocol knows no proxy, so it stays with the repository's host: any other
// address is changed into one that nobody has. The longest rule counts.
func (g *guard) settings() []string {
	return []string{
		"-c", "http.proxyAuthMethod=basic", // at once: git would begin without
		"-c", "http.proxy=http://git:" + g.password + "@" + g.listener.Addr().String(),
		"-c", "url.http://elsewhere.invalid/.insteadOf=git://",
		"-c", "url.git://" + g.host + "/.insteadOf=git://" + g.host + "/",
	}
}

func (g *guard) known(r *http.Request) bool {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("git:"+g.password))
	return subtle.ConstantTimeCompare([]byte(r.Header.Get("Proxy-Authorization")), []byte(want)) == 1
}

// connect joins git with an https server.
func (g *guard) connect(w http.ResponseWriter, r *http.Request) {
	there, err := g.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	defer there.Close()
	here, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer here.Close()
	if _, err := io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(there, here)
		if half, ok := there.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	})
	_, _ = io.Copy(here, there)
	_ = here.Close() // ends the other direction
	up.Wait()
}

// dial connects to where submodules may come from.
func (g *guard) dial(ctx context.Context, network, to string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	if strings.EqualFold(to, g.own) {
		return dialer.DialContext(ctx, network, to)
	}
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		return nil, err
	}
	found, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, ip := range found {
		if !address.Public(ip) {
			return nil, fmt.Errorf("a submodule at %s is refused: that is a private address, and not the repository's own host", host)
		}
		if mine, err := g.machine(ip); err != nil || mine {
			return nil, errors.Join(err, fmt.Errorf("a submodule at %s is refused: that is the agent's own machine, and not the repository's own host", host))
		}
	}
	var conn net.Conn
	err = fmt.Errorf("%s has no address", host)
	for _, ip := range found {
		if conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(ip.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// authority is an address's host and port, and both as they are written.
func authority(repository string) (full, written string) {
	u, err := url.Parse(repository)
	if err != nil || u.Hostname() == "" {
		return "", "elsewhere.invalid"
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(u.Hostname(), port), u.Host
}
