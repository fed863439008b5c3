package rabbitmq

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

	"github.com/stretchr/testify/require"

	"ci/backend/queue/queuetest/rabbitserver"
	"ci/pkg/ci"
	"ci/pkg/porttest"
)

// secured are the lines that make a server speak TLS too.
type secured struct {
	cert, address string
	lines         []string
}

func newSecured(t *testing.T) secured {
	t.Helper()
	cert, key := certificate(t)
	address := fmt.Sprintf("127.0.0.1:%d", porttest.Free(t, "127.0.0.1", 1)[0])
	return secured{cert, address, []string{
		"listeners.ssl.1 = " + address,
		"ssl_options.cacertfile = " + cert, "ssl_options.certfile = " + cert, "ssl_options.keyfile = " + key,
	}}
}

// works reaches the server by amqps, and only where its certificate is known.
func (s secured) works(t *testing.T, server *rabbitserver.Server) {
	u, err := url.Parse(server.URL(t))
	require.NoError(t, err)
	u.Scheme, u.Host = "amqps", s.address
	_, err = Open(Config{URL: u.String()})
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "certificate")
	u.RawQuery = url.Values{"cacertfile": {s.cert}}.Encode()
	d := open(t, testConfig(t, u.String()))
	publish(t, d, 1)
	require.EqualValues(t, 1, take(t, d))
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
