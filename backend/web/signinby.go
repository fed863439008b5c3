package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"ci/pkg/ci"
)

const (
	// underwayCookie is the name of the cookie of a sign-in that is under way at a provider.
	underwayCookie = "ci_sign_in"
	// underwayLife is how long it may be; the API ends it sooner.
	underwayLife = 15 * time.Minute
	// maxNext is the longest address that somebody is led back to by way of a provider, in bytes.
	maxNext = 1 << 10
	// maxAnswer is the longest answer of a provider that is shown, in bytes.
	maxAnswer = 8 << 10
)

// underway is a sign-in at a provider, as the browser keeps it, sealed: only the
// browser that has begun it can end it.
type underway struct {
	Provider string `json:"p"`
	Flow     string `json:"f"`
	Next     string `json:"n"`
}

// signInBy is where a sign-in by a provider begins.
func signInBy(provider string) string { return root + "/sign-in/" + url.PathEscape(provider) }

// providers are who says who people are. Without an answer there are none: a token still lets people in.
func (p *Pages) providers(r *http.Request) []ci.SignInProvider {
	c, err := p.client(r, "")
	if err != nil {
		return nil
	}
	list, err := c.SignInProviders(r.Context())
	if err != nil {
		p.Log.Warn("who people sign in by is not known", "err", err)
	}
	return list
}

// beginSignIn leads to a provider. It is a link and no form, since a form's policy
// would keep the browser from going there.
func (p *Pages) beginSignIn(w http.ResponseWriter, r *http.Request) {
	next := nextOf(r.URL.Query().Get("next"))
	if len(next) > maxNext {
		next = root + "/"
	}
	provider := r.PathValue("provider")
	c, err := p.client(r, "")
	if err == nil {
		var begun *ci.SignIn
		if begun, err = c.BeginSignIn(r.Context(), provider); err == nil {
			var cookie *http.Cookie
			if cookie, err = p.sealer.sealed(underwayCookie, underway{provider, begun.Flow, next}, underwayLife); err == nil {
				http.SetCookie(w, cookie)
				http.Redirect(w, r, begun.URL, http.StatusSeeOther)
				return
			}
		}
	}
	p.notSignedIn(w, r, next, err)
}

// finishSignIn takes what a provider has answered by the browser, and lets the person in.
func (p *Pages) finishSignIn(w http.ResponseWriter, r *http.Request) {
	provider, q := r.PathValue("provider"), r.URL.Query()
	if strings.HasPrefix(q.Get("state"), ci.PasteState) {
		p.showAnswer(w, r, q)
		return
	}
	var at underway
	if p.sealer.unsealed(r, underwayCookie, &at) == nil || at.Provider != provider {
		p.notSignedIn(w, r, root+"/", ci.Errorf(ci.CodeInvalid, "this sign-in was not begun in this browser, or took too long, or its cookie was not kept; begin it again at %s%s/", strings.TrimRight(p.URL, "/"), root))
		return
	}
	http.SetCookie(w, p.sealer.gone(underwayCookie)) // an answer is good once
	who, err := p.exchange(r, provider, ci.SignInAnswer{
		Flow: at.Flow, State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error"), ErrorDescription: q.Get("error_description"),
	})
	if err != nil {
		p.notSignedIn(w, r, nextOf(at.Next), err)
		return
	}
	p.letIn(w, r, who, nextOf(at.Next))
}

// answerPage is a provider's answer, for the person to take to where the sign-in was begun.
type answerPage struct{ Answer, Word string }

// showAnswer shows an answer and takes nothing of it: it is of no use without the
// flow, which is with who has begun the sign-in.
func (p *Pages) showAnswer(w http.ResponseWriter, r *http.Request, q url.Values) {
	answer := url.Values{}
	for _, name := range []string{"state", "code", "iss", "error", "error_description"} {
		if q.Has(name) {
			answer.Set(name, q.Get(name))
		}
	}
	page := answerPage{answer.Encode(), ci.SignInWord(q.Get("state"))}
	if page.Word == "" || len(page.Answer) > maxAnswer {
		p.notSignedIn(w, r, root+"/", ci.Errorf(ci.CodeInvalid, "this is no answer to a sign-in; begin it again"))
		return
	}
	if err := p.show(w, http.StatusOK, "answer", frame{Title: "Sign in", Page: page}); err != nil {
		p.Log.Error("the page of an answer failed", "err", err)
	}
}

// exchange has the API make a token of an answer.
func (p *Pages) exchange(r *http.Request, provider string, a ci.SignInAnswer) (*session, error) {
	c, err := p.client(r, "")
	if err != nil {
		return nil, err
	}
	in, err := c.FinishSignIn(r.Context(), provider, a)
	if err != nil {
		return nil, err
	}
	who, err := p.identify(r, in.Bearer)
	if err == nil {
		who.Made = true
	}
	return who, err
}

// notSignedIn shows the page to sign in with what went wrong, and every way to try again.
func (p *Pages) notSignedIn(w http.ResponseWriter, r *http.Request, next string, err error) {
	e := asError(err)
	p.askFor(w, r, statusOf(e.Code), signInPage{Next: next, Error: e.Message})
}
