package docker

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestImagesThatJobsMayName(t *testing.T) {
	t.Parallel()
	tests := []struct{ ref, want, refused string }{
		{ref: "debian", want: "docker.io/library/debian:latest"},
		{ref: "debian:12", want: "docker.io/library/debian:12"},
		{ref: "team/app:1", want: "docker.io/team/app:1"},
		{ref: "127.0.0.1:5000/app", want: "127.0.0.1:5000/app:latest"},
		{ref: "ab", want: "docker.io/library/ab:latest"}, // not the beginning of an id
		{ref: "sha256:0123456789abcdef", refused: "the id of one"},
		{ref: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", refused: "is not an image's reference"},
		{ref: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", refused: "name its repository"},
		{ref: "Debian", refused: "is not an image's reference"},
		{ref: "debian:12 ", refused: "is not an image's reference"},
		{ref: "ci-build:abc", refused: "belong to the agents"},
		{ref: "ci-toolbox:abc", refused: "belong to the agents"},
		{ref: "docker.io/library/ci-build:abc", refused: "belong to the agents"},
		{ref: "index.docker.io/ci-build:abc", refused: "belong to the agents"},
		{ref: "registry.example.com/ci-build:abc", want: "registry.example.com/ci-build:abc"},
	}
	for _, test := range tests {
		got, err := common.jobImage(test.ref)
		if test.refused != "" {
			require.ErrorContains(t, err, test.refused, test.ref)
			continue
		}
		require.NoError(t, err, test.ref)
		require.Equal(t, test.want, got.String())
	}
}

func TestAccountsAreForTheirRegistryAlone(t *testing.T) {
	t.Parallel()
	a := accounts{{Host: "https://index.docker.io/v1/", Username: "hub", Password: "h"}, {Host: "Registry.example.com:5000", Username: "own", Password: "o"}}
	tests := []struct{ ref, user string }{
		{"debian", "hub"},
		{"docker.io/team/app", "hub"},
		{"registry.example.com:5000/x", "own"},
		{"registry.example.com/x", ""},
		{"example.com/registry.example.com/x", ""},
	}
	for _, test := range tests {
		named, err := parseImage(test.ref)
		require.NoError(t, err)
		header, err := base64.URLEncoding.DecodeString(a.header(named))
		require.NoError(t, err)
		if test.user == "" {
			require.Empty(t, header, test.ref)
			continue
		}
		require.Contains(t, string(header), `"username":"`+test.user+`"`, test.ref)
	}
}

func TestFailedPullsAreExplained(t *testing.T) {
	t.Parallel()
	named, err := parseImage("registry.example.com/app:1")
	require.NoError(t, err)
	tests := []struct {
		engine  string
		account bool
		want    string
		code    ci.Code
	}{
		{"pull access denied for app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied", false, "there is no account for it", ci.CodeInvalid},
		{"unauthorized: authentication required", true, "does not accept the account", ci.CodeInvalid},
		{"manifest for app:1 not found: manifest unknown: manifest unknown", false, "does not have it", ci.CodeInvalid},
		{"Get \"https://registry.example.com/v2/\": dial tcp: lookup registry.example.com: no such host", false, "can't be reached", ci.CodeUnavailable},
		{"something new", false, "something new", ci.CodeInvalid},
	}
	for _, test := range tests {
		got := explainPull(errors.New(test.engine), named, test.account)
		require.ErrorContains(t, got, "image registry.example.com/app:1 can't be pulled")
		require.ErrorContains(t, got, test.want, test.engine)
		require.ErrorContains(t, got, test.engine)
		require.Equal(t, test.code, ci.CodeOf(got), test.engine)
	}
}
