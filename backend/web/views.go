package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"ci/pkg/ci"
)

//go:embed pages/*.html
var pageFiles embed.FS

// views are the parsed templates: each page within the one layout.
type views struct{ pages map[string]*template.Template }

func newViews(s *static, now func() time.Time) (*views, error) {
	base, err := template.New("").Funcs(words{s, now}.funcs()).ParseFS(pageFiles, "pages/layout.html", "pages/parts.html")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		return nil, err
	}
	v := &views{pages: map[string]*template.Template{}}
	for _, name := range names {
		t, err := base.Clone()
		if err == nil {
			t, err = t.ParseFS(pageFiles, name)
		}
		if err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		v.pages[strings.TrimSuffix(path.Base(name), ".html")] = t
	}
	return v, nil
}

// frame is what the layout shows around a page.
type frame struct {
	Title string
	// Tab is the entry of the navigation that is marked.
	Tab string
	Who *session
	// Form is the value that forms carry.
	Form string
	// Live is the address of the page's events; "" for pages that stay as they are.
	Live string
	// Note is a sentence about what the last form did.
	Note string
	Page any
}

// show renders a page whole, and sends it then: an error in the middle must not look like a page.
func (p *Pages) show(w http.ResponseWriter, status int, name string, f frame) error {
	if f.Who != nil {
		f.Form = f.Who.form
	}
	var b bytes.Buffer
	if err := p.views.pages[name].ExecuteTemplate(&b, "layout", f); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // whoever is gone needs no page
	return nil
}

// show shows a page to who has signed in.
func (v *visit) show(name string, f frame) error {
	f.Who = v.who
	f.Note = v.notice()
	return v.Pages.show(v.w, http.StatusOK, name, f)
}

// stream shows a page as it is made, for one whose end takes long.
func (v *visit) stream(name string, f frame) error {
	f.Who, f.Note, f.Form = v.who, v.notice(), v.who.form
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(http.StatusOK)
	if err := v.views.pages[name].ExecuteTemplate(v.w, "layout", f); err != nil {
		if v.r.Context().Err() == nil {
			v.Log.Error("a page broke off", "page", name, "err", err)
		}
		panic(http.ErrAbortHandler) // half a page must not look like a whole one
	}
	return nil
}

// flush sends what was written of a page.
func (v *visit) flush() {
	_ = http.NewResponseController(v.w).Flush() // a writer that can't sends it at the end
}

// notices are what ?done= may make a page say, so that no link can put words into our mouth.
var notices = map[string]string{
	"aborted":          "The run's end was asked for. It is done once its agent has confirmed.",
	"answered":         "The answer was recorded.",
	"pipeline-aborted": "The pipeline's end was asked for. It is done once all of its runs are.",
	"kept":             "What the job keeps was saved. What is beyond it goes within some minutes.",
	"drain":            "The agent takes no new runs.",
	"undrain":          "The agent takes runs again.",
	"revoked":          "The token was revoked. It opens nothing any more, after two seconds at the latest.",
	"saved":            "The settings were saved.",
}

func (v *visit) notice() string { return notices[v.r.URL.Query().Get("done")] }

// fail shows an error as a page. Where a form was wrong it says what of it.
func (p *Pages) fail(w http.ResponseWriter, r *http.Request, who *session, err error) {
	e := asError(err)
	status := statusOf(e.Code)
	if status >= 500 {
		p.Log.Warn("page failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if show := p.show(w, status, "error", frame{Title: http.StatusText(status), Who: who, Page: map[string]any{"Error": e, "Status": status}}); show != nil {
		p.Log.Error("the page of an error failed", "err", show)
	}
}

// statuses are the HTTP statuses of errors; 500 of those that are not here.
var statuses = map[ci.Code]int{
	ci.CodeInvalid: 400, ci.CodeUnauthorized: 401, ci.CodeForbidden: 403, ci.CodeNotFound: 404, ci.CodeExpired: 410, ci.CodeConflict: 409,
	ci.CodeStale: 412, ci.CodeTooLarge: 413, ci.CodeMismatch: 422, ci.CodeTooMany: 429, ci.CodeUnavailable: 503,
}

func statusOf(c ci.Code) int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// asError is err in words for people; what is not meant for them is kept back.
func asError(err error) *ci.Error {
	var e *ci.Error
	if errors.As(err, &e) {
		return e
	}
	return errBug
}
