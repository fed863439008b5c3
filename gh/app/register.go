package app

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"html/template"
	"net"
	"net/http"
	"strings"
	"time"

	"ci/pkg/ci"
)

// Registration makes a new App with a browser. The page that sends the browser
// to GitHub, and the one that it comes back to, are served on this machine
// alone, by the program that somebody waits in front of: our server needs no
// page that anybody could call, and the App's keys never pass through a browser.
type Registration struct {
	// Setup describes the App; Back is filled in here.
	Setup Setup
	// Web and API are GitHub's addresses: https://github.com, https://api.github.com.
	Web, API string
	// Organisation is whose App it will be; "" is the person's own.
	Organisation string
	// Show is given the address to open in a browser.
	Show func(url string)
	// HTTP calls the API; nil is a client with a limit of half a minute.
	HTTP *http.Client
}

// Run serves the pages until GitHub has given out the keys, or ctx ends. What
// it returns is a whole forge but for its name.
func (r *Registration) Run(ctx context.Context) (ci.ForgeAccess, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return ci.ForgeAccess{}, ci.Errorf(ci.CodeUnavailable, "no page can be shown on this machine: %w", err)
	}
	p := &pages{r: r, home: "http://" + l.Addr().String(), begin: "/" + rand.Text(), state: rand.Text(), done: make(chan outcome, 1)}
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // ends with Shutdown
	}()
	defer func() {
		ending, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // the last page is still on its way
		defer stop()
		_ = server.Shutdown(ending)
		<-served
	}()
	r.Show(p.home + p.begin)
	select {
	case o := <-p.done:
		return o.made, o.err
	case <-ctx.Done():
		return ci.ForgeAccess{}, ctx.Err()
	}
}

// outcome is what became of it.
type outcome struct {
	made ci.ForgeAccess
	err  error
}

// pages are the two that a browser sees here.
type pages struct {
	r            *Registration
	home         string
	begin, state string // nobody else can guess them
	done         chan outcome
}

const back = "/registered"

// ServeHTTP implements http.Handler.
func (p *pages) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case req.Method != http.MethodGet:
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
	case req.URL.Path == p.begin:
		p.showForm(w)
	case req.URL.Path == back:
		p.takeCode(w, req)
	default:
		http.NotFound(w, req)
	}
}

// page is the form that takes the manifest to GitHub.
func page() *template.Template {
	return template.Must(template.New("page").Parse(`<!DOCTYPE html><meta charset="utf-8"><title>Register a GitHub App</title>
<h1>Register the GitHub App {{.Name}}</h1>
<p>GitHub will ask you to confirm the name. The App may read code and pull requests, and write checks and statuses.
Its webhooks go to {{.Hook}}.</p>
<form method="post" action="{{.Action}}"><input type="hidden" name="manifest" value="{{.Manifest}}">
<button>Go on at {{.Web}}</button></form>
`))
}

func (p *pages) showForm(w http.ResponseWriter) {
	setup := p.r.Setup
	setup.Back = p.home + back
	manifest, err := setup.Manifest()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page().Execute(w, map[string]string{ // a browser that is gone is no news
		"Name": setup.Name, "Hook": setup.Hook, "Web": p.r.Web, "Manifest": string(manifest), "Action": RegisterURL(p.r.Web, p.r.Organisation, p.state),
	})
}

// takeCode takes the browser back from GitHub, and exchanges the code. Whoever
// does not know the state was not sent by our own page.
func (p *pages) takeCode(w http.ResponseWriter, req *http.Request) {
	if subtle.ConstantTimeCompare([]byte(req.URL.Query().Get("state")), []byte(p.state)) != 1 {
		http.Error(w, "this is not the registration that was begun here", http.StatusForbidden)
		return
	}
	made, err := Convert(req.Context(), p.r.HTTP, p.r.API, req.URL.Query().Get("code"))
	if ci.CodeOf(err) == ci.CodeUnavailable || errors.Is(err, context.Canceled) {
		http.Error(w, err.Error()+"\n\nReload this page to try again.", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	made.URL, made.API = strings.TrimRight(p.r.Web, "/"), strings.TrimRight(p.r.API, "/")
	text := "Done. Go back to the terminal, and install the App for your repositories:\n\n" + InstallURL(&made.Forge) + "\n"
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		text = err.Error() + "\n"
	}
	_, _ = w.Write([]byte(text)) // a browser that is gone is no news
	select {
	case p.done <- outcome{made, err}:
	default: // it was reloaded
	}
}
