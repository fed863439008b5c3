package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-github/v60/github"

	"ci/pkg/ci"
)

// Explain turns an error of a GitHub client into a ci.Error; doing completes
// "could not …". ci.CodeUnavailable says that the same call may succeed later, and
// RetryAt when. nil stays nil, and a ci.Error stays as it is.
func Explain(err error, doing string) error {
	var known *ci.Error
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &known):
		return known // it was explained below, and packed into an error of the request since
	}
	code, why := reason(err)
	return ci.Errorf(code, "could not %s: %s%w", doing, why, quiet{err})
}

// quiet keeps an error as a cause without repeating its words.
type quiet struct{ error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.error }

// reason says what kind of failure it is, and why in words.
func reason(err error) (ci.Code, string) {
	var (
		limited *Limited
		used    *github.RateLimitError
		answer  *github.ErrorResponse
	)
	switch {
	case errors.As(err, &limited):
		return ci.CodeUnavailable, limited.Error()
	case errors.As(err, &used): // the last answer said that it was the last, so the client did not ask
		return ci.CodeUnavailable, (&Limited{used.Rate.Reset.Time, "the rate limit is used up"}).Error()
	case errors.As(err, &answer) && answer.Response != nil:
		return codeOf(answer.Response.StatusCode), fmt.Sprintf("%s answers %d %s", host(answer.Response), answer.Response.StatusCode, sentence(answer))
	}
	return ci.CodeUnavailable, "no answer: " + err.Error()
}

// host names who answered.
func host(resp *http.Response) string {
	if resp.Request == nil || resp.Request.URL == nil {
		return "the forge"
	}
	return resp.Request.URL.Host
}

// RetryAt returns the moment before which GitHub wants no other call, if the
// error says so.
func RetryAt(err error) (time.Time, bool) {
	var (
		limited *Limited
		used    *github.RateLimitError
	)
	switch {
	case errors.As(err, &limited):
		return limited.Until, true
	case errors.As(err, &used):
		return used.Rate.Reset.Time, true
	}
	return time.Time{}, false
}

// sentence is what the forge says, and what of the request it means. Its words are
// from outside: they are cut, and quoted.
func sentence(e *github.ErrorResponse) string {
	text := e.Message
	for _, one := range e.Errors {
		text += fmt.Sprintf("; %s %s: %s", one.Resource, one.Field, cmp.Or(one.Message, one.Code))
	}
	const most = 500
	text = cmp.Or(text, http.StatusText(e.Response.StatusCode))
	return fmt.Sprintf("%q", text[:min(len(text), most)])
}

func codeOf(status int) ci.Code {
	switch {
	case status >= 500, status == http.StatusRequestTimeout:
		return ci.CodeUnavailable
	case status == http.StatusNotFound, status == http.StatusGone:
		return ci.CodeNotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ci.CodeForbidden
	case status == http.StatusConflict:
		return ci.CodeConflict
	}
	return ci.CodeInvalid
}
