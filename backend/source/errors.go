package source

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"ci/pkg/ci"
)

// gitError is a git that failed.
type gitError struct {
	args   []string
	stderr string
	err    error
}

func (e *gitError) Error() string {
	return fmt.Sprintf("git %s: %v: %s", e.args[0], e.err, strings.TrimSpace(e.stderr))
}

func (e *gitError) Unwrap() error { return e.err }

// httpStatus finds the status of a refused request in git's complaint.
var httpStatus = regexp.MustCompile(`(?i)requested URL returned error: (\d{3})|HTTP (\d{3})|redirect`)

// complaint is what git (in its C locale) or ssh says, and what we make of it.
// %s in a sentence is the URL.
type complaint struct {
	words    []string
	code     ci.Code
	sentence string
}

// complaints are tried in order. Final ones come first: after most refusals git
// adds that the connection broke.
var complaints = []complaint{
	{
		[]string{"Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "No ED25519 host key is known"},
		ci.CodeInvalid,
		"the host key of %s is another one than those that are pinned to the job's SSH key; if its owner has changed it, pin the new one with `ci ssh-key hosts scan`",
	},
	{
		[]string{"Permission denied (", "could not read Username", "could not read Password", "Authentication failed", "terminal prompts disabled"},
		ci.CodeInvalid,
		"%s does not let us in; it needs a forge whose App is installed for it, or a key that it accepts, or it does not exist",
	},
	{
		[]string{"' not found", "Repository not found", "could not be found", "does not appear to be a git repository", "access denied or repository not exported"},
		ci.CodeInvalid,
		"there is no repository at %s, or it does not let us in",
	},
	{
		[]string{"server certificate verification failed", "SSL certificate problem", "certificate subject name", "SSL: no alternative certificate"},
		ci.CodeInvalid,
		"the certificate of %s is not valid",
	},
	{[]string{"transport '", "unsafe repository", "dubious ownership", "dumb http transport"}, ci.CodeInvalid, "git refuses to read %s"},
	{[]string{"Could not resolve host", "Temporary failure in name resolution", "Name or service not known"}, ci.CodeUnavailable, "the host of %s can't be resolved"},
	{
		[]string{"Connection refused", "Failed to connect", "Couldn't connect", "Connection timed out", "No route to host", "Network is unreachable", "unable to connect"},
		ci.CodeUnavailable,
		"the host of %s can't be reached",
	},
	{[]string{"File size limit exceeded", "File too large", "SIGXFSZ", "signal 25"}, ci.CodeInvalid, "%s sends more for one commit than is taken"},
}

// explain turns git's complaint into a sentence. What it does not know is
// taken for a passing trouble.
func (t *tree) explain(err error) error {
	var g *gitError
	if err == nil || !errors.As(err, &g) {
		return err
	}
	url := t.remote.raw
	switch {
	case says(err, "couldn't find remote ref") && t.branch == "":
		return ci.Errorf(ci.CodeInvalid, "%s has no default branch; name a branch or a commit", url)
	case says(err, "couldn't find remote ref"):
		return ci.Errorf(ci.CodeInvalid, "branch %s does not exist in %s", t.branch, url)
	}
	if m := httpStatus.FindStringSubmatch(g.stderr); m != nil {
		if e := t.status(m[1]+m[2], err); e != nil {
			return e
		}
	}
	for _, c := range complaints {
		if says(err, c.words...) {
			return &ci.Error{Code: c.code, Message: fmt.Sprintf(c.sentence, url) + " (" + g.last() + ")" + t.key.refusals(), Cause: err}
		}
	}
	return &ci.Error{Code: ci.CodeUnavailable, Message: "could not read " + url + " (" + g.last() + ")", Cause: err}
}

// status explains an HTTP status; "" is a redirect.
func (t *tree) status(status string, cause error) error {
	fail := func(code ci.Code, format string, args ...any) error {
		return &ci.Error{Code: code, Message: fmt.Sprintf(format, args...), Cause: cause}
	}
	url := t.remote.raw
	switch {
	case status == "" || status[0] == '3':
		return fail(ci.CodeInvalid, "%s redirects to another address, which is not followed; put the new address into the job", url)
	case status == "401" || status == "403":
		return fail(ci.CodeInvalid, "%s does not let us in (HTTP status %s); it needs a forge whose App is installed for it, or a key that it accepts, or it does not exist", url, status)
	case status == "404" || status == "410":
		return fail(ci.CodeInvalid, "there is no repository at %s (HTTP status %s)", url, status)
	case status == "429" || status[0] == '5':
		return fail(ci.CodeUnavailable, "the host of %s is in trouble (HTTP status %s)", url, status)
	}
	return nil
}

// last returns git's last complaint, fit for people.
func (e *gitError) last() string {
	text := ""
	for line := range strings.Lines(e.stderr) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "fatal:") || strings.HasPrefix(line, "error:") || text == "" && line != "" {
			text = line
		}
	}
	if text == "" {
		text = e.err.Error()
	}
	if len(text) > 500 {
		text = text[:500]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
}
