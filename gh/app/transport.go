package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// credentials are what a request shows to be let in.
type credentials interface {
	// value is what follows "Bearer ".
	value(ctx context.Context) (string, error)
	// refused hears that GitHub did not accept value, and its clock at that
	// moment (zero if it did not say). It returns whether another try may help.
	refused(value string, serverTime time.Time) bool
}

// fixed is a token that somebody has set.
type fixed string

func (f fixed) value(context.Context) (string, error) { return string(f), nil }
func (f fixed) refused(string, time.Time) bool        { return false }

// transport shows credentials to one API, and only to it: GitHub redirects
// downloads to other hosts. It makes no request while a rate limit is in force.
type transport struct {
	under http.RoundTripper
	api   *url.URL
	auth  credentials
	now   func() time.Time

	mu      sync.Mutex
	until   time.Time // no request before
	why     string
	guesses int // how often in a row we had to guess how long to wait
}

// maxAnswer is the most that is read of an answer. GitHub's own largest are a
// comparison's and a file's, both well below.
const maxAnswer = 32 << 20

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.open(); err != nil {
		return nil, err
	}
	resp, value, err := t.try(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized && value != "" && t.auth.refused(value, serverTime(resp)) {
		if again, ok := repeatable(r); ok {
			_ = resp.Body.Close()
			if resp, _, err = t.try(again); err != nil {
				return nil, err
			}
		}
	}
	if wait, why := t.waitOf(resp); wait > 0 {
		_ = resp.Body.Close()
		return nil, t.shut(wait, why)
	}
	t.passed()
	resp.Body = &limitedBody{resp.Body, maxAnswer}
	return resp, nil
}

// try sends a request once; value is what it has shown.
func (t *transport) try(r *http.Request) (resp *http.Response, value string, err error) {
	if r.URL.Scheme == t.api.Scheme && r.URL.Host == t.api.Host {
		if value, err = t.auth.value(r.Context()); err != nil {
			return nil, "", err
		}
		if value != "" {
			r = r.Clone(r.Context()) // a RoundTripper leaves its request as it is
			r.Header.Set("Authorization", "Bearer "+value)
		}
	}
	resp, err = t.under.RoundTrip(r)
	return resp, value, err
}

// repeatable returns the request as it was before it was sent.
func repeatable(r *http.Request) (*http.Request, bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, false
	}
	again := r.Clone(r.Context())
	again.Body = body
	return again, true
}

// Limited says that no request is made, since GitHub asked to wait.
type Limited struct {
	Until time.Time
	Why   string
}

// Error says until when, and why.
func (l *Limited) Error() string {
	return fmt.Sprintf("%s: no request is made before %s", l.Why, l.Until.UTC().Format(time.RFC3339))
}

func (t *transport) open() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now().Before(t.until) {
		return &Limited{t.until, t.api.Host + ": " + t.why}
	}
	return nil
}

// passed notes that no limit is in force.
func (t *transport) passed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.guesses = 0
}

// guess is how long to wait where the answer does not say: twice as long each time in a row.
func (t *transport) guess() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.guesses++
	return unsaid << min(t.guesses-1, 4)
}

// shut lets no request through for a while.
func (t *transport) shut(wait time.Duration, why string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := t.now().Add(wait); until.After(t.until) {
		t.until, t.why = until, why
	}
	return &Limited{t.until, t.api.Host + ": " + t.why}
}

const (
	// unsaid is how long to wait when GitHub limits without saying how long: it
	// asks for at least a minute then.
	unsaid = time.Minute
	// longestWait bounds what an answer can make us wait.
	longestWait = 2 * time.Hour
)

// waitOf returns how long an answer asks not to come again, and why; 0 when it
// doesn't (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
func (t *transport) waitOf(resp *http.Response) (time.Duration, string) {
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0, ""
	}
	overloaded := resp.StatusCode == http.StatusServiceUnavailable
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		why := "the secondary rate limit is reached"
		if overloaded {
			why = "it is overloaded"
		}
		return min(time.Duration(s)*time.Second, longestWait), why
	}
	if overloaded {
		return 0, ""
	}
	if reset, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64); err == nil && resp.Header.Get("X-RateLimit-Remaining") == "0" {
		from := serverTime(resp) // by GitHub's own clock: ours may differ
		if from.IsZero() {
			from = time.Now()
		}
		return min(max(time.Unix(reset, 0).Sub(from), time.Second), longestWait), "the rate limit is used up"
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		return t.guess(), "the rate limit is reached"
	}
	if secondary(resp) {
		return t.guess(), "the secondary rate limit is reached"
	}
	return 0, ""
}

// maxRefusal is how much of a refusal is looked through, in bytes.
const maxRefusal = 64 << 10

// secondary says whether a refusal is the secondary rate limit's, which only its
// words tell where there is no Retry-After. The body can be read again.
func secondary(resp *http.Response) bool {
	head, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // whoever reads on meets the same error
	resp.Body = readCloser{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	text := strings.ToLower(string(head))
	return strings.Contains(text, "secondary rate limit") || strings.Contains(text, "secondary-rate-limit") || strings.Contains(text, "abuse detection")
}

type readCloser struct {
	io.Reader
	io.Closer
}

func serverTime(resp *http.Response) time.Time {
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// limitedBody ends with an error rather than filling the memory.
type limitedBody struct {
	io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
