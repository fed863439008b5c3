package cli

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCredentialCurl(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env["USER_ID"], w.env["KEY"], w.env["LINE"], w.env["COLON"] = "alice", `a"b\c d`, "x\n", "a:b"
	account := []string{"credential", "curl", "--username-from", "USER_ID", "--password-from"}
	require.Equal(t, said{0, `user = "alice:a\"b\\c d"` + "\n", ""}, w.run(append(account, "KEY")...))
	require.Equal(t, `header = "Authorization: Bearer a\"b\\c d"`+"\n", w.run("credential", "curl", "--bearer-from", "KEY").out)
	for want, line := range map[string][]string{
		"NONE is empty":     append(account, "NONE"),
		"control character": append(account, "LINE"),
		"has a colon":       {"credential", "curl", "--username-from", "COLON", "--password-from", "KEY"},
		"at least one":      {"credential", "curl"},
		"set they must all": account[:4],
	} {
		got := w.run(line...)
		require.Equal(t, exitUsage, got.code, want)
		require.Contains(t, got.err, want)
		require.Empty(t, got.out)
	}
	got := w.terminal().run(append(account, "KEY")...)
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "on this terminal")
	require.NotContains(t, got.out+got.err, "a\"b")
}

// The protocol is that of docker-credential-helpers: the address on standard
// input, JSON or a known sentence on standard output.
func TestCredentialDocker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, account := range map[string]string{"REGISTRY_EXAMPLE_COM": "reg", "REGISTRY_EXAMPLE_COM_5000": "port", "DOCKER_IO": "hub"} {
		w.env["REGISTRY_USERNAME_"+name], w.env["REGISTRY_PASSWORD_"+name] = account, account+"-secret"
	}
	for server, account := range map[string]string{
		"registry.example.com": "reg", "https://registry.example.com": "reg", "Registry.Example.com/v2/": "reg", "registry.example.com:5000": "port",
		"https://index.docker.io/v1/": "hub", "docker.io": "hub", "registry-1.docker.io": "hub",
	} {
		w.stdin = server + "\n"
		got := w.run("credential", "docker", "get")
		require.Equal(t, 0, got.code, got.err)
		require.JSONEq(t, `{"ServerURL":"`+server+`","Username":"`+account+`","Secret":"`+account+`-secret"}`, got.out)
	}
	for _, server := range []string{"evil.example.com", "registry.example.com.evil.org", "registry.example.com:443"} {
		w.stdin = server
		got := w.run("credential", "docker", "get")
		require.Equal(t, exitFailed, got.code)
		require.Equal(t, "credentials not found in native keychain\n", got.out, "callers know this sentence")
		require.Contains(t, got.err, "REGISTRY_PASSWORD_")
	}
	for _, server := range []string{"reg\u0131stry.example.com", "regi\u017ftry.example.com", "https://reg%C4%B1stry.example.com", "doc\u212aer.io"} {
		w.stdin = server
		got := w.run("credential", "docker", "get")
		require.Equal(t, exitFailed, got.code, server)
		require.Contains(t, got.out, "beyond ASCII", "its capitals are another host's")
	}
	w.env["REGISTRY_PASSWORD_REGISTRY_EXAMPLE_COM"] = "hush\nhush"
	w.stdin = "registry.example.com"
	got := w.run("credential", "docker", "get")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.out, "control character")
	require.NotContains(t, got.out+got.err, "hush")

	require.Equal(t, said{0, "{}\n", ""}, w.run("credential", "docker", "list"))
	require.Equal(t, said{0, "", ""}, w.run("credential", "docker", "erase"))
	w.stdin = `{"ServerURL":"x","Username":"u","Secret":"hush"}`
	got = w.run("credential", "docker", "store")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.out, "stores nothing")
	require.NotContains(t, got.out+got.err, "hush")
	require.Equal(t, exitUsage, w.run("credential", "docker", "dance").code)
	require.Equal(t, exitUsage, w.terminal().run("credential", "docker", "get").code)
}

func TestNamed(t *testing.T) {
	t.Parallel()
	_, ran := Named([]string{"/bin/cid", "get"}, "v")
	require.False(t, ran)
	_, ran = Named(nil, "v")
	require.False(t, ran)
}

// TestECRSignature is the example in AWS's description of Signature Version 4.
func TestECRSignature(t *testing.T) {
	t.Parallel()
	req := httptest.NewRequest(http.MethodGet, "https://iam.amazonaws.com/?Version=2010-05-08&Action=ListUsers", nil)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	signAWS(req, nil, awsKey{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "iam"}, time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC))
	require.Equal(t, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, "+
		"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7", req.Header.Get("Authorization"))
}

// ecr is the part of Amazon's API that makes passwords.
func ecr(t *testing.T, key awsKey) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		again := httptest.NewRequest(r.Method, "http://"+r.Host+r.URL.Path, nil)
		for _, name := range []string{"Content-Type", "X-Amz-Target", "X-Amz-Security-Token"} {
			again.Header.Set(name, r.Header.Get(name))
		}
		signAWS(again, body, key, noon)
		if r.Header.Get("Authorization") != again.Header.Get("Authorization") || r.Header.Get("X-Amz-Target") != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" || string(body) != "{}" {
			rw.WriteHeader(http.StatusBadRequest)
			_, _ = rw.Write([]byte(`{"__type":"InvalidSignatureException","message":"no\u001b[2J"}`))
			return
		}
		_, _ = rw.Write([]byte(`{"authorizationData":[{"authorizationToken":"` + base64.StdEncoding.EncodeToString([]byte("AWS:for-12-hours")) + `","expiresAt":1.7e9}]}`))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestECR(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = noon
	w.env["AWS_ENDPOINT_URL_ECR"] = ecr(t, awsKey{"AKID", "shh-shh-shh", "eu-central-1", "ecr"}).URL
	w.env["AWS_ACCESS_KEY_ID"], w.env["AWS_SECRET_ACCESS_KEY"], w.env["AWS_SESSION_TOKEN"] = "AKID", "shh-shh-shh", "session"
	w.stdin = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
	got := w.run("credential", "docker", "get")
	require.Equal(t, 0, got.code, got.out+got.err)
	require.JSONEq(t, `{"ServerURL":"`+w.stdin+`","Username":"AWS","Secret":"for-12-hours"}`, got.out)

	for _, other := range []string{"123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.org", "x.dkr.ecr.eu-central-1.amazonaws.com", "amazonaws.com"} {
		w.stdin = other
		require.Contains(t, w.run("credential", "docker", "get").out, notFound, "keys of AWS are for AWS")
	}
	w.stdin = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
	got = w.run("credential", "docker", "get")
	require.Equal(t, exitFailed, got.code, "signed for another region")
	require.Contains(t, got.out, "InvalidSignatureException")
	require.NotContains(t, got.out+got.err, "\x1b")
	require.NotContains(t, got.out+got.err, "shh")
}
