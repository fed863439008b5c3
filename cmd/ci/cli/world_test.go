package cli

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// noon is the time of every test.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is one user with a terminal or a pipe, and one server.
type world struct {
	onNote func(text string) // hears what is said to people; nil does not
	t      *testing.T
	client *fakeClient
	env    map[string]string
	stdin  string
	tty    bool
	color  bool
	width  int
	now    time.Time
	linger time.Duration
	pick   func(string, []string) (int, error)
	ctx    context.Context
	// again is what Again gives; nil is a context that never ends.
	again context.Context
	// documents are what the server's REST interface answers, by path and query.
	documents map[string]string
	mu        sync.Mutex
	requests  []string
	server    *httptest.Server
}

// said is what a command line left behind.
type said struct {
	code     int
	out, err string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, client: newFakeClient(), documents: map[string]string{}, ctx: context.Background(), now: noon}
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.server.Close)
	w.env = map[string]string{"CI_URL": w.server.URL, "CI_TOKEN": "tok", "XDG_CONFIG_HOME": t.TempDir()}
	return w
}

// serve answers with the documents of the test; others are not found.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.requests = append(w.requests, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization"))
	w.mu.Unlock()
	doc, ok := w.documents[r.URL.RequestURI()]
	switch {
	case r.Header.Get("Authorization") == "Bearer wrong":
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.WriteHeader(http.StatusUnauthorized)
		doc = `{"status":401,"code":"unauthorized","title":"Unauthorized","detail":"the token is not valid"}`
	case !ok:
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.WriteHeader(http.StatusNotFound)
		doc = `{"status":404,"code":"not_found","detail":"there is no \u001b]0;x\u0007such thing","errors":[{"path":"name","message":"no\u202e"}]}`
	default:
		rw.Header().Set("Content-Type", "application/json")
	}
	_, _ = rw.Write([]byte(doc))
}

// run carries out one command line.
func (w *world) run(line ...string) said {
	w.t.Helper()
	var out, err bytes.Buffer
	a := &app{
		IOStreams: IOStreams{
			In: strings.NewReader(w.stdin), Out: &out, Err: heard{&err, w.onNote}, InTTY: w.tty, OutTTY: w.tty, ErrTTY: w.tty, OutColor: w.color, ErrColor: w.color,
			Width: w.width, Linger: w.linger, Pick: w.pick, Env: func(k string) string { return w.env[k] }, Now: func() time.Time { return w.now }, Version: "v1",
			ReadSecret: func() ([]byte, error) { return []byte("secret\n"), nil },
			Again: func(context.Context) (context.Context, context.CancelFunc) {
				if w.again != nil {
					return w.again, func() {}
				}
				return context.WithCancel(context.Background())
			},
		},
		dial: func(endpoint, string, time.Duration) (Client, error) { return w.client, nil },
	}
	code := a.main(w.ctx, line)
	return said{code, out.String(), err.String()}
}

// heard keeps what is said to people, and tells of it at once.
type heard struct {
	*bytes.Buffer
	onNote func(string)
}

// Write implements io.Writer.
func (h heard) Write(p []byte) (int, error) {
	if h.onNote != nil {
		h.onNote(string(p))
	}
	return h.Buffer.Write(p)
}

// terminal makes the world one of people.
func (w *world) terminal() *world {
	w.tty = true
	return w
}

// harmless fails when a terminal would obey anything in s but the SGR that ci itself writes.
func harmless(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		require.False(t, r != '\n' && r != '\x1b' && unsafe(r), "%q holds %U", s, r)
	}
	require.NotContains(t, s, "\x1b]")
	require.NotContains(t, s, "\x1b[2J")
}

// hostile is what an enemy calls things.
const hostile = "evil\x1b]0;owned\x07\x1b[2J\u202e\u009b31m\tx\ny"

func doneRun(id int64, o ci.Outcome, code int) ci.Run {
	r := ci.Run{
		ID: id, Job: "unit", Status: ci.StatusDone, Phase: ci.PhaseCollecting, Outcome: o, Reason: "because " + string(o),
		BranchName: "main", CommitSHA: strings.Repeat("ab", 20), Class: "small", Agent: "box", Priority: ci.PriorityNormal, ScriptStarted: true,
		Times: ci.Times{Triggered: noon.Add(-time.Hour), Claimed: noon.Add(-50 * time.Minute), Done: noon.Add(-40 * time.Minute)},
	}
	if o == ci.OutcomeSucceeded || o == ci.OutcomeFailed {
		r.ExitCode = &code
	}
	return r
}
