package nats

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// agentRights is what docs/operations.md gives to an agent.
const agentRights = `
  publish: ["$JS.API.STREAM.INFO.RUNS", "$JS.API.CONSUMER.CREATE.RUNS.>", "$JS.API.CONSUMER.MSG.NEXT.RUNS.*", "$JS.ACK.RUNS.>", "wake.>", "took.>", "bus.>"]
  subscribe: ["_INBOX.>", "wake.>", "took.>", "bus.>"]
`

// secured is a server that speaks TLS alone, and knows cid and an agent.
func secured(t *testing.T) (cid, agent, authority string) {
	t.Helper()
	cert, key := certificate(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "nats.conf")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `
listen: "127.0.0.1:-1"
jetstream { store_dir: %q, max_mem: 16M, max_file: 1G }
tls { cert_file: %q, key_file: %q }
authorization { users: [
  { user: cid, password: "se:cret" }
  { user: agent, password: "se:cret", permissions: { %s } }
] }
`, dir, cert, key, agentRights), 0o600))
	opts, err := server.ProcessConfigFile(path)
	require.NoError(t, err)
	opts.NoSigs, opts.NoLog = true, true
	srv, err := server.NewServer(opts)
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	require.True(t, srv.ReadyForConnections(bound))
	as := func(user string) string {
		u := url.URL{Scheme: "tls", User: url.UserPassword(user, "se:cret"), Host: srv.Addr().String(), RawQuery: url.Values{"cacertfile": {cert}}.Encode()}
		return u.String()
	}
	return as("cid"), as("agent"), cert
}

// TestRights wants an agent to do its work with the rights of the manual, and no more.
func TestRights(t *testing.T) {
	t.Parallel()
	cidURL, agentURL, _ := secured(t)
	with := func(url string) Config {
		cfg := testConfig(t)
		cfg.URL = url
		return cfg
	}
	c := open(t, with(cidURL))
	a := open(t, with(agentURL))
	require.NoError(t, a.Check(t.Context()))
	heard := make(chan string, 1)
	cancel, err := c.Bus().Subscribe("console.*", func(_ string, data []byte) { heard <- string(data) })
	require.NoError(t, err)
	defer cancel()
	require.NoError(t, a.Bus().Publish(t.Context(), "console.1", []byte("x")))
	require.Equal(t, "x", <-heard)
	for run := range int64(3) {
		require.NoError(t, c.Publish(t.Context(), []queue.Message{{Run: run + 1, Lane: testLane}}))
		del, err := a.Pull(within(t, bound), []ci.Lane{testLane})
		require.NoError(t, err)
		require.Equal(t, run+1, del.Run)
		require.NoError(t, del.Ack(t.Context()))
	}
	// It can't queue runs, remove what waits, or make streams of its own.
	require.Error(t, a.Publish(within(t, time.Second), []queue.Message{{Run: 9, Lane: testLane}}))
	require.Error(t, a.js.DeleteStream(within(t, time.Second), streamName))
	_, err = a.js.CreateStream(within(t, time.Second), streamConfig(1))
	require.Error(t, err)
	depths, err := c.Depth(t.Context())
	require.NoError(t, err)
	require.Zero(t, depths[testLane])
}

func TestTLS(t *testing.T) {
	t.Parallel()
	good, _, authority := secured(t)
	u, err := url.Parse(good)
	require.NoError(t, err)
	u.RawQuery = ""
	_, err = Open(Config{URL: u.String()})
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "certificate")
	require.NotContains(t, err.Error(), "cret")
	u.RawQuery = url.Values{"cacertfile": {authority}}.Encode()
	open(t, Config{URL: u.String()})
	u.User = url.UserPassword("cid", "wrong:cret")
	_, err = Open(Config{URL: u.String()})
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%v", err)
	require.NotContains(t, err.Error(), "cret")
	u.Scheme = "nats"
	u.User, u.RawQuery = url.UserPassword("cid", "se:cret"), "cacertfile=/nowhere"
	_, err = Open(Config{URL: u.String()})
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%v", err)
	for _, query := range []string{"replicas=2", "replicas=x", "certfile=a", "cacert=a"} {
		_, err = Open(Config{URL: "nats://u:secret@h:1?" + query})
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%s: %v", query, err)
		require.NotContains(t, err.Error(), "secret")
	}
}

// certificate writes one for 127.0.0.1 that signs itself, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return cert, key
}
