// Package s3 stores objects in a bucket of S3 or of a server that speaks its
// protocol.
package s3

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"ci/backend/blob"
	"ci/pkg/ci"
)

// Config names a bucket and how to reach it.
type Config struct {
	Bucket string
	// Prefix begins every key, without slashes around it; "" for none.
	Prefix string
	// Endpoint is host or host:port; "" means Amazon's.
	Endpoint string
	Region   string // "" lets the server tell it
	// Insecure speaks HTTP instead of HTTPS. For servers on this machine.
	Insecure bool
	// CA is the path of a PEM file with authorities to trust beside the system's.
	CA string
	// AccessKey and SecretKey; both "" leave it to the places that Amazon's own tools look into.
	AccessKey string
	SecretKey string
}

const amazon = "s3.amazonaws.com"

// ParseURL reads s3://bucket/prefix?endpoint=host:port&region=…&insecure=true&ca=/path.pem
// and the credentials in CI_S3_ACCESS_KEY and CI_S3_SECRET_KEY. Without those
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the shared credentials file and
// the machine's role are tried, in this order, when they are needed.
func ParseURL(raw string) (Config, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.User != nil {
		return Config{}, ci.Errorf(ci.CodeInvalid, "the object store's address is not like s3://bucket/prefix?endpoint=host:port&region=name; credentials stand in CI_S3_ACCESS_KEY and CI_S3_SECRET_KEY, not in it")
	}
	c := Config{
		Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"),
		AccessKey: os.Getenv("CI_S3_ACCESS_KEY"), SecretKey: os.Getenv("CI_S3_SECRET_KEY"),
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		return Config{}, ci.Errorf(ci.CodeInvalid, "only one of CI_S3_ACCESS_KEY and CI_S3_SECRET_KEY is set; both are needed")
	}
	for name, values := range u.Query() {
		value := values[len(values)-1]
		switch name {
		case "endpoint":
			c.Endpoint = value
		case "region":
			c.Region = value
		case "ca":
			c.CA = value
		case "insecure":
			if c.Insecure, err = strconv.ParseBool(value); err != nil {
				return Config{}, ci.Errorf(ci.CodeInvalid, "insecure=%s in the object store's address is neither true nor false", value)
			}
		default:
			return Config{}, ci.Errorf(ci.CodeInvalid, "the object store's address has an unknown option %q; there are endpoint, region, insecure and ca", name)
		}
	}
	return c, nil
}

// client makes the connection pool. Nothing is sent yet.
func (c Config) client() (*minio.Core, error) {
	endpoint := c.Endpoint
	if endpoint == "" {
		endpoint = amazon
	}
	if err := s3utils.CheckValidBucketNameStrict(c.Bucket); err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the object store's bucket %q can't be one: %w", c.Bucket, err)
	}
	if c.Prefix != "" {
		if err := blob.CheckKey(c.Prefix); err != nil {
			return nil, ci.Errorf(ci.CodeInvalid, "the object store's address has a prefix that can't be used: %w", err)
		}
	}
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	core, err := minio.NewCore(endpoint, &minio.Options{
		Creds: c.credentials(), Secure: !c.Insecure, Region: c.Region, Transport: transport,
		MaxRetries: 4, // about 4 seconds; whoever calls tries again for longer
	})
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the object store's endpoint %q can't be used: %w", endpoint, err)
	}
	return core, nil
}

func (c Config) credentials() *credentials.Credentials {
	if c.AccessKey != "" {
		return credentials.NewStaticV4(c.AccessKey, c.SecretKey, "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
	})
}

func (c Config) transport() (*http.Transport, error) {
	t, err := minio.DefaultTransport(!c.Insecure)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInternal, "the object store's client can't be made: %w", err)
	}
	if c.Insecure || c.CA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the object store's ca file can't be read: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, ci.Errorf(ci.CodeInvalid, "the object store's ca file %s holds no PEM certificate", c.CA)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}
