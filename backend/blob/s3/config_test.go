package s3

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestParseURL(t *testing.T) {
	t.Setenv("CI_S3_ACCESS_KEY", "key")
	t.Setenv("CI_S3_SECRET_KEY", "secret")
	for raw, want := range map[string]Config{
		"s3://b":               {Bucket: "b"},
		"s3://b/":              {Bucket: "b"},
		"s3://b/a/c/?region=x": {Bucket: "b", Prefix: "a/c", Region: "x"},
		"s3://b?endpoint=h:1&insecure=true&ca=/x.pem": {Bucket: "b", Endpoint: "h:1", Insecure: true, CA: "/x.pem"},
	} {
		want.AccessKey, want.SecretKey = "key", "secret"
		got, err := ParseURL(raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, got, raw)
	}
	for _, raw := range []string{"", "b", "http://b", "s3://", "s3:///b", "s3://u:p@b", "s3://b?nope=1", "s3://b?insecure=2", "s3://%zz"} {
		_, err := ParseURL(raw)
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), raw)
		require.NotContains(t, err.Error(), "u:p")
	}
	t.Setenv("CI_S3_SECRET_KEY", "")
	_, err := ParseURL("s3://b")
	require.ErrorContains(t, err, "only one of CI_S3_ACCESS_KEY and CI_S3_SECRET_KEY is set")
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []Config{
		{Bucket: "b"},
		{Bucket: "Not_A_Bucket"},
		{Bucket: "bucket", Endpoint: "http://x"},
		{Bucket: "bucket", Prefix: "a//b"},
		{Bucket: "bucket", CA: "/does/not/exist"},
	} {
		_, err := New(c)
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%+v: %v", c, err)
	}
}
