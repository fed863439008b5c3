// Package web is the API for people with a browser: pages that are made here,
// in the server, and need no script; a script of ours keeps them up to date.
// It knows the API's client alone, and calls it with the token that a person
// has signed in with, so no page can do more than that token could by curl.
package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"ci/pkg/api"
	"ci/pkg/ci"
	"ci/pkg/junit"
)

// Config is what the pages need. All fields are required but those that say what they default to.
type Config struct {
	// API serves the API: what is no page is left to it.
	API http.Handler
	// Transport carries the pages' calls to the API.
	Transport http.RoundTripper
	// SessionKey seals cookies: at least 32 random bytes, the same in all cids.
	SessionKey []byte
	// URL is where people reach the server. Where it begins with https, cookies go over nothing else.
	URL string
	// Stop ends streams when it is closed, so that a server can shut down. Default: never.
	Stop <-chan struct{}
	Log  *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Pages serves everything below /ui.
type Pages struct {
	Config
	mux    *http.ServeMux
	sealer *sealer
	views  *views
	static *static
	logs   *cache[int64, *keptLog]
	tests  *cache[string, *junit.Report]
	origin *http.CrossOriginProtection
}

// New checks the configuration and reads the templates.
func New(c Config) (*Pages, error) {
	if c.API == nil || c.Transport == nil || c.Log == nil {
		return nil, errors.New("web: API, Transport and Log are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	sealer, err := newSealer(c.SessionKey, strings.HasPrefix(c.URL, "https://"))
	if err != nil {
		return nil, err
	}
	static, err := newStatic()
	if err != nil {
		return nil, err
	}
	views, err := newViews(static, c.Now)
	if err != nil {
		return nil, err
	}
	p := &Pages{Config: c, sealer: sealer, views: views, static: static, logs: newCache[int64, *keptLog](indexRoom), tests: newCache[string, *junit.Report](reportRoom), origin: http.NewCrossOriginProtection()}
	p.mux = p.routes()
	return p, nil
}

// Handler serves pages below /ui and leaves the rest to the API. A browser
// that follows the address of a run or a job of the API, which it has no token
// for, is shown the page of it.
func (p *Pages) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch page := pageOf(r); {
		case r.URL.Path == root || strings.HasPrefix(r.URL.Path, root+"/"):
			p.ServeHTTP(w, r)
		case page != "":
			w.Header().Set("Vary", "Accept, Authorization")
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, page, http.StatusSeeOther)
		default:
			p.API.ServeHTTP(w, r)
		}
	})
}

// root is where pages live; REST has no path there.
const root = "/ui"

// pageOf is the page for a request by a browser to an address of the API, "" for all others.
func pageOf(r *http.Request) string {
	if r.Method != http.MethodGet || r.Header.Get("Authorization") != "" || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return ""
	}
	path := r.URL.EscapedPath()
	if path == "/" {
		return root + "/"
	}
	parts := strings.Split(path, "/")[1:]
	if (parts[0] != "jobs" && parts[0] != "pipelines") || strings.ContainsAny(path, "%\\") {
		return ""
	}
	isJob := len(parts) == 2
	isRun := len(parts) == 4 && parts[2] == "runs" && runID(parts[3]) > 0
	if (isJob || isRun) && ci.ValidateName(parts[1]) == nil {
		return root + path
	}
	return ""
}

// answerTime is how long a reader may take for a page, and a form for its way here.
const answerTime = time.Minute

// maxForm is how large a form may be: one of all a job's parameters at their longest.
const maxForm = 4 << 20

// ServeHTTP serves one page.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime)) // where there are deadlines
	guard(w.Header())
	rec := &recorder{ResponseWriter: w}
	r.Body = http.MaxBytesReader(rec, r.Body, maxForm)
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
		p.Log.Error("page panicked", "method", r.Method, "path", r.URL.Path, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
		if rec.begun {
			panic(http.ErrAbortHandler) // half a page must not look like a whole one
		}
		p.fail(rec, r, nil, errBug)
	}()
	if err := p.origin.Check(r); err != nil {
		p.fail(rec, r, nil, ci.Errorf(ci.CodeForbidden, "this form was sent by another site, so nothing was done"))
		return
	}
	p.mux.ServeHTTP(rec, r)
}

var errBug = ci.Errorf(ci.CodeInternal, "something went wrong here; the server's log says what")

// guard sets what every answer has. Nothing but our own files runs or styles a page,
// nobody frames it, and forms go nowhere else.
func guard(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// recorder knows whether an answer has begun.
type recorder struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader begins the answer.
func (r *recorder) WriteHeader(status int) {
	r.begun = true
	r.ResponseWriter.WriteHeader(status)
}

// Write begins the answer, too.
func (r *recorder) Write(b []byte) (int, error) {
	r.begun = true
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// visit is one request of somebody who has signed in.
type visit struct {
	*Pages
	w   http.ResponseWriter
	r   *http.Request
	who *session
	api *api.Client
}

// client calls the API with a token, for who asks for a page. It repeats nothing: a person can reload.
func (p *Pages) client(asked *http.Request, token string) (*api.Client, error) {
	return api.New(api.Config{
		URL: "http://pages.invalid", Token: token, UserAgent: "ci-pages", Retry: -1,
		HTTP: &http.Client{Transport: onBehalf{asked.Host, asked.RemoteAddr, p.Transport}},
	})
}

// onBehalf is a transport that says for whom it asks: the API checks the name
// that the browser has asked for, and logs where the browser is.
type onBehalf struct {
	host, peer string
	next       http.RoundTripper
}

// RoundTrip sends a copy of the request: a transport must not change the one it
// is given. Via says that the peer does not speak for itself, so nothing is
// allowed to it for its address.
func (o onBehalf) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host, r.RemoteAddr = o.host, o.peer
	r.Header.Set("Via", "1.1 pages")
	return o.next.RoundTrip(r)
}

// page makes a handler of what shows a page to who has signed in. Others are
// asked to sign in, and come back.
func (p *Pages) page(fn func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who := p.sealer.open(r, p.Now())
		if who == nil {
			p.askToSignIn(w, r)
			return
		}
		v, err := p.visit(w, r, who)
		if err == nil {
			err = fn(v)
		}
		if ci.CodeOf(err) == ci.CodeUnauthorized {
			http.SetCookie(w, p.sealer.gone(sessionCookie))
			p.askToSignIn(w, r)
			return
		}
		if err != nil {
			p.fail(w, r, who, err)
		}
	}
}

func (p *Pages) visit(w http.ResponseWriter, r *http.Request, who *session) (*visit, error) {
	c, err := p.client(r, who.Token)
	return &visit{Pages: p, w: w, r: r, who: who, api: c}, err
}

// form makes a handler of what a form does; it returns where to go then.
func (p *Pages) form(fn func(*visit) (to string, err error)) http.HandlerFunc {
	return p.page(func(v *visit) error {
		if err := parseForm(v.w, v.r); err != nil {
			return err
		}
		if !v.who.formOK(v.r) {
			return ci.Errorf(ci.CodeForbidden, "this form is from an earlier sign-in, so nothing was done; go back, reload the page, and send it again")
		}
		to, err := fn(v)
		if err == nil && to != "" {
			http.Redirect(v.w, v.r, to, http.StatusSeeOther)
		}
		return err
	})
}

// parseForm reads a form, which has its time to arrive.
func parseForm(w http.ResponseWriter, r *http.Request) error {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(answerTime)) // where there are deadlines
	if err := r.ParseForm(); err != nil {
		return ci.Errorf(ci.CodeInvalid, "the form could not be read: %w", err)
	}
	_ = rc.SetReadDeadline(time.Time{}) // the connection may serve streams
	return nil
}
