package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ci/pkg/ci"
)

// askToSignIn leads to the page for it, and from there back.
func (p *Pages) askToSignIn(w http.ResponseWriter, r *http.Request) {
	to := root + "/sign-in"
	if r.Method == http.MethodGet && r.URL.Path != root+"/" && !strings.HasSuffix(r.URL.Path, "/live") && r.URL.Path != root+"/live-pipelines" {
		to += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// nextOf is where to go after the sign-in: a page of ours, whatever was asked.
func nextOf(asked string) string {
	u, err := url.Parse(asked)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(asked, root+"/") || strings.ContainsAny(asked, "\\\r\n") {
		return root + "/"
	}
	return asked
}

type signInPage struct{ Next, Error string }

// signedIn is what the address says after a sign-in whose cookie may be lost on the way.
const signedIn = "signed-in"

func (p *Pages) showSignIn(w http.ResponseWriter, r *http.Request) {
	next := nextOf(r.URL.Query().Get("next"))
	if p.sealer.open(r, p.Now()) != nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	page, status := signInPage{Next: next}, http.StatusOK
	if r.URL.Query().Has(signedIn) {
		status = http.StatusBadRequest
		page.Error = "the token is good, but your browser has not kept the sign-in: its cookie may go over https alone, and this page has come over http, or cookies are off; open " + strings.TrimRight(p.URL, "/") + root + "/ instead"
	}
	p.askFor(w, status, page)
}

func (p *Pages) askFor(w http.ResponseWriter, status int, page signInPage) {
	if err := p.show(w, status, "signin", frame{Title: "Sign in", Page: page}); err != nil {
		p.Log.Error("the page to sign in failed", "err", err)
	}
}

// signIn asks the API whether the token is good, and seals it into a cookie.
func (p *Pages) signIn(w http.ResponseWriter, r *http.Request) {
	if err := parseForm(w, r); err != nil {
		p.fail(w, r, nil, err)
		return
	}
	page := signInPage{Next: nextOf(r.PostFormValue("next"))}
	who, err := p.identify(r, strings.TrimSpace(r.PostFormValue("token")))
	if err != nil {
		page.Error = asError(err).Message
		p.askFor(w, statusOf(ci.CodeOf(err)), page)
		return
	}
	cookie, err := p.sealer.seal(who)
	if err != nil {
		p.fail(w, r, nil, err)
		return
	}
	http.SetCookie(w, cookie)
	to := page.Next
	if p.sealer.secure {
		to = root + "/sign-in?" + signedIn + "&next=" + url.QueryEscape(page.Next) // which sees whether the cookie comes back
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// people are the roles of tokens that there are pages for.
var people = []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}

// identify asks the API whom the token stands for.
func (p *Pages) identify(r *http.Request, token string) (*session, error) {
	if token == "" {
		return nil, ci.Errorf(ci.CodeUnauthorized, "the token is missing; it has the form abc.def.ghi")
	}
	c, err := p.client(r, token)
	if err != nil {
		return nil, err
	}
	caller, err := c.WhoAmI(r.Context())
	if err != nil {
		return nil, err
	}
	if !slices.Contains(people, caller.Role) {
		return nil, ci.Errorf(ci.CodeForbidden, "this token is not a person's but has the role %s, so there are no pages for it", caller.Role)
	}
	return &session{Token: token, Name: caller.Name, Role: caller.Role, Limited: len(caller.Jobs) > 0, Expires: p.Now().Add(sessionLife).Unix()}, nil
}

func (v *visit) signOut() (string, error) {
	http.SetCookie(v.w, v.sealer.cookie("", -time.Second))
	return root + "/sign-in", nil
}
