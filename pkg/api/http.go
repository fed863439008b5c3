package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"

	"ci/pkg/api/convert"
	"ci/pkg/ci"
)

// get asks for something and returns a successful answer with its body open.
func (c *Client) get(ctx context.Context, path string, query url.Values, header map[string]string) (*http.Response, time.Duration, error) {
	return c.send(ctx, http.MethodGet, path, query, header, nil)
}

// send sends one plain HTTP request, with a body of JSON unless it is nil, and
// returns a successful answer with its body open.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, header map[string]string, body []byte) (*http.Response, time.Duration, error) {
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, 0, ci.Errorf(ci.CodeInvalid, "no request can be made of %s: %w", path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the sentence around it names the server already
		}
		return nil, 0, c.fault(ctx, err)
	}
	if resp.StatusCode >= 300 {
		defer func() { _ = resp.Body.Close() }() // it was only read
		return nil, retryAfter(resp.Header), problem(resp)
	}
	return resp, 0, nil
}

// problem makes the ci.Error of an answer that is no success.
func problem(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var p struct {
		Code   ci.Code    `json:"code"`
		Detail string     `json:"detail"`
		Errors []ci.Field `json:"errors"`
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	code := convert.CodeOfStatus(resp.StatusCode)
	if err != nil || kind != "application/problem+json" || json.Unmarshal(body, &p) != nil {
		return ci.Errorf(code, "the server answered %s, and not as a ci server does; is the address right?", resp.Status)
	}
	if convert.Status(p.Code) == resp.StatusCode {
		code = p.Code
	}
	return &ci.Error{Code: code, Message: p.Detail, Fields: p.Errors}
}

// answered says whether a server said err, and not the network.
func answered(err error) bool {
	var ce *connect.Error
	return errors.As(err, &ce) && connect.IsWireError(ce)
}
