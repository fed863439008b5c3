package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Client calls the API with nothing but net/http: end-to-end tests must not
// see the wire through the eyes of our own client.
type Client struct {
	URL   string
	Token string // "" sends none
	http  *http.Client
}

// NewClient makes a client of the API at url.
func NewClient(url, token string) *Client {
	return &Client{URL: url, Token: token, http: &http.Client{
		Timeout:       3 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Answer is a whole answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends one request. headers are "Name: value"; Authorization, and
// Content-Type beside a body, come by themselves unless they are among them.
func (c *Client) Do(ctx context.Context, method, path string, body []byte, headers ...string) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Set(name, strings.TrimSpace(value))
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	r, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	return &Answer{Status: r.StatusCode, Header: r.Header, Body: got}, err
}

// Run is what tests look at in a run's document.
type Run struct {
	ID            int64   `json:"id"`
	Job           string  `json:"job"`
	Agent         string  `json:"agent"`
	Status        string  `json:"status"`
	Phase         string  `json:"phase"`
	Outcome       string  `json:"outcome"`
	Reason        string  `json:"reason"`
	ExitCode      *int    `json:"exitCode"`
	ScriptStarted bool    `json:"scriptStarted"`
	Console       Console `json:"console"`
	Times         struct {
		Claimed time.Time `json:"claimed"`
		Done    time.Time `json:"done"`
	} `json:"times"`
}

// Console is the console part of a run's document.
type Console struct {
	Bytes  float64 `json:"bytes"`
	SHA256 string  `json:"sha256"`
}

// Call sends in as JSON (nil: no body) and decodes the answer into out (nil: thrown away).
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	a, err := c.Do(ctx, method, path, body)
	if err != nil {
		return err
	}
	if a.Status >= 300 {
		return fmt.Errorf("%s %s: %d: %s", method, path, a.Status, a.Body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(a.Body, out)
}

// Freestyle puts a job of a script alone.
func (c *Client) Freestyle(ctx context.Context, name, script string) error {
	return c.Call(ctx, http.MethodPut, "/jobs/"+name, map[string]any{"freestyle": map[string]any{"script": script}}, nil)
}

// Trigger triggers a run of a freestyle job.
func (c *Client) Trigger(ctx context.Context, job string) (r Run, err error) {
	err = c.Call(ctx, http.MethodPost, "/jobs/"+job+"/runs", map[string]any{}, &r)
	return r, err
}

// Get returns a run as it is.
func (c *Client) Get(ctx context.Context, job string, id int64) (r Run, err error) {
	err = c.Call(ctx, http.MethodGet, fmt.Sprintf("/jobs/%s/runs/%d", job, id), nil, &r)
	return r, err
}

// Wait returns a run once it is done.
func (c *Client) Wait(ctx context.Context, job string, id int64, limit time.Duration) (r Run, err error) {
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) {
		err = c.Call(ctx, http.MethodGet, fmt.Sprintf("/jobs/%s/runs/%d?wait=20s&until=done", job, id), nil, &r)
		if err != nil || r.Status == "done" {
			return r, err
		}
	}
	return r, fmt.Errorf("run %d is not done after %s: %s", id, limit, r.Phase)
}
