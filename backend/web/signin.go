package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

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

type signInPage struct {
	Next, Error string
	// Providers are who else says who people are.
	Providers []ci.SignInProvider
}

// Begin is where a sign-in by a provider begins.
func (p signInPage) Begin(provider string) string {
	return signInBy(provider) + "?next=" + url.QueryEscape(p.Next)
}

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
	p.askFor(w, r, status, page)
}

func (p *Pages) askFor(w http.ResponseWriter, r *http.Request, status int, page signInPage) {
	page.Providers = p.providers(r)
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
		p.askFor(w, r, statusOf(ci.CodeOf(err)), page)
		return
	}
	p.letIn(w, r, who, page.Next)
}

// letIn seals the session into a cookie, and leads on.
func (p *Pages) letIn(w http.ResponseWriter, r *http.Request, who *session, next string) {
	cookie, err := p.sealer.seal(who, p.Now())
	if err != nil {
		p.fail(w, r, nil, err)
		return
	}
	http.SetCookie(w, cookie)
	to := next
	if p.sealer.secure {
		to = root + "/sign-in?" + signedIn + "&next=" + url.QueryEscape(next) // which sees whether the cookie comes back
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
	ends := p.Now().Add(sessionLife)
	if !caller.ExpiresAt.IsZero() && caller.ExpiresAt.Before(ends) {
		ends = caller.ExpiresAt
	}
	return &session{Token: token, Name: caller.Name, Role: caller.Role, Limited: len(caller.Jobs) > 0, Expires: ends.Unix()}, nil
}

// signOut ends the session, and the token where it was made for it. A token that was typed in stays good: others may use it.
func (v *visit) signOut() (string, error) {
	if v.who.Made {
		if err := v.api.SignOut(v.r.Context()); err != nil {
			return "", err
		}
	}
	http.SetCookie(v.w, v.sealer.gone(sessionCookie))
	return root + "/sign-in", nil
}
