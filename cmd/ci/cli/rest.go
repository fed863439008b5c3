package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ci/pkg/ci"
)

// maxDocument is the largest JSON document that is read from a server.
const maxDocument = 64 << 20

// rest asks the server's REST interface as it is. --json prints its documents,
// so that they are the server's to the last field.
type rest struct {
	endpoint
	agent string
	http  *http.Client
}

func (a *app) rest() (*rest, error) {
	e, err := a.endpoint()
	if err != nil {
		return nil, err
	}
	return newREST(e, a.userAgent()), nil
}

func newREST(e endpoint, agent string) *rest {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 90 * time.Second // a waiting GET holds its answer for 60
	return &rest{endpoint: e, agent: agent, http: &http.Client{
		Transport: t,
		// A redirect would carry the token to whatever it names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// do sends one request. What is not a success comes back as a *ci.Error.
func (r *rest) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	return r.send(ctx, method, path, nil, body)
}

// send is do with headers of the caller's.
func (r *rest) send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, usagef("%s %s is not a request: %w", method, path, err)
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	req.Header.Set("User-Agent", r.agent)
	if r.trace != nil {
		req.Header.Set(ci.TraceParentHeader, r.trace.Parent())
		if r.trace.State != "" {
			req.Header.Set(ci.TraceStateHeader, r.trace.State)
		}
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := r.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &ci.Error{Code: ci.CodeUnavailable, Message: fmt.Sprintf("the server at %s can't be reached: %v", r.URL, unwrapURL(err)), Cause: err}
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	return nil, problem(res)
}

// unwrapURL drops the method and address that net/http puts before an error.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// problem reads an RFC 9457 answer, and makes do with the status of any other.
func problem(res *http.Response) error {
	var p struct {
		Code   ci.Code    `json:"code"`
		Title  string     `json:"title"`
		Detail string     `json:"detail"`
		Errors []ci.Field `json:"errors"`
	}
	data, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	_ = json.Unmarshal(data, &p)
	e := &ci.Error{Code: p.Code, Message: p.Detail, Fields: p.Errors}
	if e.Code == "" {
		e.Code = codeOf(res.StatusCode)
	}
	if e.Message == "" {
		e.Message = p.Title
	}
	if e.Message == "" {
		e.Message = "the server answered " + res.Status
	}
	return e
}

// codeOf stands in for the code of an answer that is not our server's own.
func codeOf(status int) ci.Code {
	switch status {
	case http.StatusUnauthorized:
		return ci.CodeUnauthorized
	case http.StatusForbidden:
		return ci.CodeForbidden
	case http.StatusNotFound:
		return ci.CodeNotFound
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ci.CodeUnavailable
	case http.StatusTooManyRequests:
		return ci.CodeTooMany
	}
	if status < 500 {
		return ci.CodeInvalid
	}
	return ci.CodeInternal
}

// document asks for one JSON document.
func (r *rest) document(ctx context.Context, method, path string, body []byte) (json.RawMessage, error) {
	res, err := r.do(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, &ci.Error{Code: ci.CodeUnavailable, Message: fmt.Sprintf("the answer of %s broke off: %v", r.URL, err), Cause: err}
	case len(data) > maxDocument:
		return nil, ci.Errorf(ci.CodeTooLarge, "the answer has more than %d bytes; ask for less", maxDocument)
	case len(bytes.TrimSpace(data)) > 0 && !json.Valid(data):
		return nil, ci.Errorf(ci.CodeInternal, "%s did not answer with JSON; is it the address of a ci server?", r.URL)
	}
	return data, nil
}

// list asks for all pages of a list, at most limit items (0: all), and makes
// one document of them: the server's, with every page's items under key.
func (r *rest) list(ctx context.Context, path string, query url.Values, key string, limit int) (json.RawMessage, error) {
	const page = 500
	items := []json.RawMessage{}
	token := ""
	for {
		q := url.Values{}
		for k, v := range query {
			q[k] = v
		}
		size := page
		if limit > 0 {
			size = min(page, limit-len(items))
		}
		q.Set("pageSize", fmt.Sprint(size))
		if token != "" {
			q.Set("pageToken", token)
		}
		doc, err := r.document(ctx, http.MethodGet, path+"?"+q.Encode(), nil)
		if err != nil {
			return nil, err
		}
		var got map[string]json.RawMessage
		var more []json.RawMessage
		token = ""
		if err := json.Unmarshal(doc, &got); err != nil {
			return nil, ci.Errorf(ci.CodeInternal, "the server's list is not an object: %w", err)
		}
		_ = json.Unmarshal(got["nextPageToken"], &token)
		if err := json.Unmarshal(got[key], &more); len(got[key]) > 0 && err != nil {
			return nil, ci.Errorf(ci.CodeInternal, "the server's %s are not a list: %w", key, err)
		}
		items = append(items, more...)
		if token == "" || len(more) == 0 || (limit > 0 && len(items) >= limit) {
			return json.Marshal(map[string]any{key: items, "nextPageToken": token})
		}
	}
}

// withQuery adds fields to a path's query.
func withQuery(path string, fields []field) string {
	q := url.Values{}
	for _, f := range fields {
		if raw, ok := f.value.(json.RawMessage); ok {
			q.Add(f.name, strings.Trim(string(raw), `"`))
			continue
		}
		q.Add(f.name, fmt.Sprint(f.value))
	}
	mark := "?"
	if strings.Contains(path, "?") {
		mark = "&"
	}
	return path + mark + q.Encode()
}

// at joins the parts of a path, each escaped.
func at(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// runPath is the REST path of a run.
func runPath(job string, id int64) string { return at("jobs", job, "runs", fmt.Sprint(id)) }
