package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/source"
	"ci/pkg/ci"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	s := planner(t, nil, "git.intern", "10.1.2.3:8080", "[fd00::1]:9418", "::1")
	cases := map[string]string{ // "" is fine, else part of what is wrong
		"https://github.com/a/b.git":           "",
		"https://github.com:8443/a/b":          "",
		"https://8.8.8.8/a.git":                "",
		"https://[2a00:1450::1]/a.git":         "",
		"ssh://git@github.com/a/b.git":         "",
		"ssh://git@github.com:2222/a/b.git":    "",
		"ssh://github.com/a/b.git":             "",
		"git@github.com:a/b.git":               "",
		"org-1234@github.com:a/b.git":          "",
		"git@[2a00:1450::1]:a/b.git":           "",
		"http://git.intern/a.git":              "",
		"http://GIT.intern.:81/a.git":          "",
		"git://git.intern/a.git":               "",
		"http://10.1.2.3:8080/a.git":           "",
		"git://[fd00::1]/a.git":                "",
		"http://[::1]:99/a.git":                "",
		"":                                     "is missing",
		"http://github.com/a.git":              "http:// is not encrypted",
		"git://github.com/a.git":               "an administrator can allow it with --git-allow github.com:9418",
		"http://10.1.2.3/a.git":                "http:// is not encrypted",
		"http://git.intern.evil.com/a.git":     "not encrypted",
		"https://10.1.2.3/a.git":               "10.1.2.3 is an address of a private network",
		"https://127.0.0.1/a.git":              "private network or of the server itself",
		"https://localhost/a.git":              "localhost is the server itself",
		"https://LOCALHOST./a.git":             "is the server itself",
		"https://x.localhost/a.git":            "is the server itself",
		"https://169.254.169.254/latest":       "private",
		"https://[::ffff:127.0.0.1]/a":         "private",
		"https://[::ffff:a9fe:a9fe]/a":         "private",
		"https://[64:ff9b::7f00:1]/a":          "private",
		"https://[2002:7f00:1::]/a":            "private",
		"https://[fe80::1]/a":                  "private",
		"https://[fc00::1]/a":                  "private",
		"https://[::]/a":                       "private",
		"https://0/a":                          "private",
		"https://0.0.0.0/a":                    "private",
		"https://2130706433/a":                 "2130706433 is an address of a private",
		"https://0x7f000001/a":                 "private",
		"https://0X7F.1/a":                     "private",
		"https://0177.0.0.1/a":                 "private",
		"https://127.1/a":                      "private",
		"https://134744072/a":                  "is the address 8.8.8.8 in an unusual form",
		"https://100.64.0.1/a":                 "private",
		"https://192.0.2.1/a":                  "private",
		"https://224.0.0.1/a":                  "private",
		"git@127.0.0.1:a":                      "private",
		"git@2130706433:a":                     "private",
		"git@[::1]:a":                          "", // ::1 is allowed above, on any port
		"ssh://git@192.168.0.1/a":              "private",
		"ext::sh -c touch% /tmp/x":             "spaces",
		"ext::sh":                              "names a remote helper (ext::)",
		"EXT::sh":                              "names a remote helper (EXT::)",
		"::sh":                                 "names a remote helper",
		"fd::17":                               "names a remote helper",
		"file:///etc":                          "has the scheme file, which is not allowed",
		"FILE:///etc":                          "has the scheme FILE, which is not allowed",
		"HTTPS://github.com/a.git":             "write https://",
		"ftp://github.com/a":                   "has the scheme ftp",
		"git+ssh://github.com/a":               "has the scheme git+ssh",
		"javascript:alert(1)":                  "is a path on this machine",
		"/etc/passwd":                          "is a path on this machine, or has no user",
		"../x":                                 "is a path on this machine",
		"C:/x":                                 "has the scheme C",
		`C:\x`:                                 "backslash",
		"host:path":                            "has no user",
		"-u./x":                                "begins with '-'",
		"--upload-pack=touch":                  "begins with '-'",
		"ssh://-oProxyCommand=x/a":             "has the host",
		"-oProxyCommand=x@host:a":              "begins with '-'",
		"git@-oProxyCommand=x:a":               "has the host",
		"ssh://git@-x/a":                       "has the host",
		"ssh://-x@host/a":                      "has a strange user name",
		"git@host:-x":                          "begins with '-', which could be taken",
		"git@host:":                            "names a host but no repository",
		"https:///host/a":                      "has no host",
		"https://":                             "has no host",
		"https:/host/a":                        "has no host",
		"https://github.com":                   "names a host but no repository",
		"https://github.com/":                  "names a host but no repository",
		"https://user:pass@github.com/a":       "holds credentials",
		"https://token@github.com/a":           "holds credentials",
		"ssh://git:pass@github.com/a":          "holds credentials",
		"https://github.com/a?x=1":             "query or a fragment",
		"https://github.com/a#b":               "query or a fragment",
		"https://github.com:/a":                "has a ':' without a port",
		"https://github.com:0/a":               "has a port",
		"https://github.com:99999/a":           "has a port",
		"https://github.com:x/a":               "can't be understood",
		"https://git%68ub.com/a":               "can't be understood",
		"https://github.com/a%0ab":             "encoded control characters",
		"https://github.com/a\nb":              "holds control characters",
		"https://github.com/a b":               "holds control characters, spaces",
		"https://github.com/a\x00":             "holds control characters",
		"https://github.com/\xff":              "not UTF-8",
		"https://github.com/a\u2028":           "holds control characters, spaces",
		"https://exa mple.com/a":               "spaces",
		"https://[fe80::1%25eth0]/a":           "IPv6",
		"https://[evil]/a":                     "can't be understood",
		"https://a..b/x":                       "has the host",
		"https://$(id)/x":                      "has the host",
		"git@$(id):x":                          "has the host",
		"https://github.com\\@evil.com/a":      "backslash",
		"https://github.com@evil.com/a":        "holds credentials",
		"https://" + strings.Repeat("a", 3000): "longer",
	}
	for url, want := range cases {
		err := s.CheckURL(url)
		if want == "" {
			require.NoError(t, err, url)
			continue
		}
		require.ErrorContains(t, err, want, url)
		var e *ci.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, ci.CodeInvalid, e.Code)
		require.Equal(t, "git.url", e.Fields[0].Path)
		_, _, planned := plan(t.Context(), s, job(url, "x"), "", "main")
		require.Equal(t, err, planned, "Plan refuses it too")
	}
}

// Names are looked up, and what they lead to is checked.
func TestResolve(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		addrs []string
		err   error
		code  ci.Code
		want  string
	}{
		"loopback":          {addrs: []string{"127.0.0.1"}, code: ci.CodeInvalid, want: "host evil.test is at 127.0.0.1"},
		"one of several":    {addrs: []string{"8.8.8.8", "10.0.0.1"}, code: ci.CodeInvalid, want: "host evil.test is at 10.0.0.1"},
		"mapped":            {addrs: []string{"::ffff:169.254.169.254"}, code: ci.CodeInvalid, want: "is at 169.254.169.254"},
		"no such host":      {err: errors.New("no such host"), code: ci.CodeUnavailable, want: "host evil.test can't be resolved: no such host"},
		"nothing was found": {code: ci.CodeUnavailable, want: "can't be resolved"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := planner(t, func(cfg *source.Config) {
				cfg.Resolve = func(context.Context, string) ([]netip.Addr, error) {
					var addrs []netip.Addr
					for _, a := range c.addrs {
						addrs = append(addrs, netip.MustParseAddr(a))
					}
					return addrs, c.err
				}
			})
			for _, url := range []string{"https://evil.test/a.git", "git@evil.test:a.git"} {
				_, _, err := plan(t.Context(), s, job(url, "x"), "", "main")
				require.Equal(t, c.code, ci.CodeOf(err))
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

func TestAllowIsChecked(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"", "http://x", "x:y", "x:0", "x:99999", "a b", "*"} {
		_, err := source.New(source.Config{Allow: []string{entry}})
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), entry)
	}
	_, err := source.New(source.Config{Git: "no-such-git"})
	require.ErrorContains(t, err, "git is needed to read job files and was not found")
}

// Strings that have broken other programs break nothing here: as a URL, a
// branch, a commit or a path they are refused or simply not there.
func TestNaughtyStrings(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "blns", "blns.json"))
	if err != nil {
		t.Skip("the list of naughty strings is not on this machine")
	}
	var naughty []string
	require.NoError(t, json.Unmarshal(data, &naughty))
	s := planner(t, nil)
	for _, n := range naughty {
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(s.CheckURL(n)), n)
		_, _, err := plan(t.Context(), s, job("https://github.com/a.git", "x"), n+"x", "")
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), n)
	}

	r := newRepo(t)
	w := r.serve(nil)
	local := planner(t, nil, w.host())
	tried := 0
	for i, n := range naughty {
		if i%16 != 0 || n == "" {
			continue // each costs a git
		}
		tried++
		_, _, err := plan(t.Context(), local, job(w.url(), "x"), "", n)
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "branch %q: %v", n, err)
	}
	t.Logf("%d of %d strings tried as branches", tried, len(naughty))
}

// A machine in a cloud has a public address that is its own all the same.
func TestOwnAddresses(t *testing.T) {
	t.Parallel()
	s := planner(t, func(*source.Config) {})
	own, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, o := range own {
		if ip := o.(*net.IPNet).IP; ip.To4() != nil {
			require.ErrorContains(t, s.CheckURL("https://"+ip.String()+"/a.git"), "of the server itself")
		}
	}
}
