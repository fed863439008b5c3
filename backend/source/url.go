package source

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// remote is a git URL, taken apart.
type remote struct {
	raw    string
	scheme string // https, http, git, ssh
	host   string // without brackets
	port   int
}

var defaultPorts = map[string]int{"https": 443, "http": 80, "git": 9418, "ssh": 22}

var (
	helper   = regexp.MustCompile(`^[A-Za-z0-9+.-]*::`)
	scheme   = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*):/`)
	userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)
	hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?$`)
	ip6      = regexp.MustCompile(`^[0-9A-Fa-f:.]+$`)
	scpLike  = regexp.MustCompile(`^([^@:/]*)@(\[[^\]/]*\]|[^:/\[\]]*):(.*)$`)
)

const wanted = "use https://host/path.git, ssh://user@host/path.git or user@host:path.git"

// parseURL takes a URL apart; why says what is wrong with its form, "" nothing.
// It accepts only what it has understood in full, as git would read it.
func parseURL(raw string) (r remote, why string) {
	switch {
	case raw == "":
		return r, "is missing; " + wanted
	case len(raw) > 2048:
		return r, "is longer than 2048 bytes"
	case !utf8.ValidString(raw) || strings.ContainsFunc(raw, func(c rune) bool { return unicode.IsControl(c) || unicode.IsSpace(c) }):
		return r, "holds control characters, spaces or text that is not UTF-8"
	case raw[0] == '-':
		return r, "begins with '-', which git would take for an option; " + wanted
	case strings.Contains(raw, `\`):
		return r, "holds a backslash; " + wanted
	case helper.MatchString(raw):
		return r, "names a remote helper (" + raw[:strings.Index(raw, "::")+2] + "), which could run programs; " + wanted
	case strings.ContainsAny(raw, "?#"):
		return r, "has a query or a fragment ('?' or '#'), which git repositories have not"
	}
	if m := scheme.FindStringSubmatch(raw); m != nil {
		return parseSchemeURL(raw, m[1])
	}
	return parseScpLike(raw)
}

func parseSchemeURL(raw, scheme string) (r remote, why string) {
	port, known := defaultPorts[scheme]
	switch {
	case !known && defaultPorts[strings.ToLower(scheme)] != 0:
		return r, fmt.Sprintf("has its scheme in upper case; write %s://", strings.ToLower(scheme))
	case !known:
		return r, fmt.Sprintf("has the scheme %s, which is not allowed; %s", scheme, wanted)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return r, "can't be understood; " + wanted
	}
	if _, secret := u.User.Password(); secret || (u.User != nil && scheme != "ssh") {
		return r, "holds credentials; everyone who may see the job would see them. Use an ssh URL with a key instead"
	}
	if u.User != nil && !userName.MatchString(u.User.String()) {
		return r, "has a strange user name"
	}
	r = remote{raw: raw, scheme: scheme, host: u.Hostname(), port: port}
	if p := u.Port(); p != "" {
		if r.port, err = strconv.Atoi(p); err != nil || r.port < 1 || r.port > 65535 {
			return r, "has a port that is not between 1 and 65535"
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return r, "has a ':' without a port after its host"
	}
	if why := checkHost(r.host, strings.HasPrefix(u.Host, "[")); why != "" {
		return r, why
	}
	if strings.Trim(u.Path, "/") == "" {
		return r, "names a host but no repository; " + wanted
	}
	if strings.ContainsFunc(u.Path, unicode.IsControl) {
		return r, "holds encoded control characters"
	}
	return r, ""
}

func parseScpLike(raw string) (r remote, why string) {
	m := scpLike.FindStringSubmatch(raw)
	if m == nil {
		return r, "is a path on this machine, or has no user; " + wanted
	}
	user, host, path := m[1], m[2], m[3]
	bracketed := strings.HasPrefix(host, "[")
	r = remote{raw: raw, scheme: "ssh", host: strings.Trim(host, "[]"), port: defaultPorts["ssh"]}
	switch why := checkHost(r.host, bracketed); {
	case why != "":
		return r, why
	case !userName.MatchString(user):
		return r, "has a strange user name"
	case strings.Trim(path, "/") == "":
		return r, "names a host but no repository; " + wanted
	case strings.HasPrefix(path, "-"):
		return r, "has a path that begins with '-', which could be taken for an option"
	}
	return r, ""
}

// checkHost says what is wrong with a host's form.
func checkHost(host string, bracketed bool) string {
	switch {
	case host == "":
		return "has no host; " + wanted
	case bracketed && !ip6.MatchString(host):
		return fmt.Sprintf("has %q for an IPv6 address", host)
	case !bracketed && (len(host) > 253 || !hostName.MatchString(host)):
		return fmt.Sprintf("has the host %q; a name of letters, digits, '-' and '.' is needed", host)
	}
	return ""
}
