package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"ci/backend/store/storetest"
	"ci/pkg/api"
	"ci/pkg/ci"
)

const (
	// pageStore is how many runs there are that the pages are made of.
	pageStore = 50_000
	// pageRounds is how often each page is asked for.
	pageRounds = 60
	// pageConsole is how long the console is that a page shows a part of.
	pageConsole = 8 << 20
)

// pages is figure m: the time to the first byte of every page, with many runs
// stored, some waiting, a run with tests and a console of some megabytes, and a
// pipeline. Pages are asked for in turn; between them a file of some bytes, which
// is the floor: what a request costs that does nothing.
func (b *bench) pages(ctx context.Context) (_ []figure, err error) {
	s, err := b.seeded(ctx, pageStore)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	paths, err := s.furnish(ctx)
	if err != nil {
		return nil, err
	}
	reader, err := s.signIn(ctx)
	if err != nil {
		return nil, err
	}
	took := map[string][]time.Duration{}
	const floor = "/ui/static/icon.svg"
	for range pageRounds {
		for _, path := range paths {
			who := reader
			if path == "/ui/sign-in" {
				who = s.http // it leads others on
			}
			for _, p := range []string{floor, path} {
				d, err := firstByte(ctx, who, s.url+p)
				if err != nil {
					return nil, err
				}
				took[p] = append(took[p], d)
			}
		}
	}
	f := p95(took[floor])
	var figures []figure
	for _, path := range paths {
		o := p95(took[path])
		figures = append(figures, figure{
			"m", fmt.Sprintf("first byte of %s, p95, %d runs stored", path, pageStore), ms(o), ms(f), float64((o - f).Microseconds()) / 1000, "≤ 50 ms over the floor", o-f <= 50*time.Millisecond,
			fmt.Sprintf("median %s", ms(median(took[path]))),
		})
	}
	return figures, nil
}

// p95 sorts.
func p95(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)*95/100]
}

// signIn is a browser of somebody who may do everything.
func (s *server) signIn(ctx context.Context) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	c := &http.Client{Jar: jar, Transport: s.http.Transport}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/ui/sign-in", strings.NewReader(url.Values{"token": {s.token}}.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", s.url)
	r, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK || r.Request.URL.Path != "/ui/" {
		return nil, fmt.Errorf("signing in led to %s: %s", r.Request.URL.Path, r.Status)
	}
	return c, nil
}

// firstByte is how long an answer takes to begin, over a connection that stands.
func firstByte(ctx context.Context, c *http.Client, address string) (took time.Duration, err error) {
	var sent, came time.Time
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { sent = time.Now() },
		GotFirstResponseByte: func() { came = time.Now() },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	r, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return 0, err
	}
	if r.StatusCode != http.StatusOK || r.Request.URL.Path != req.URL.Path {
		return 0, fmt.Errorf("GET %s: %s from %s", address, r.Status, r.Request.URL.Path)
	}
	return came.Sub(sent), nil
}

// furnish makes what the seed lacks, and returns every page.
func (s *server) furnish(ctx context.Context) (paths []string, err error) {
	const job = storetest.SeedJob
	for i := range 50 {
		name := fmt.Sprintf("job-%d", i)
		doc := map[string]any{
			"freestyle":  map[string]any{"script": "make test", "results": map[string]any{"junit": map[string]any{"path": "*.xml", "type": "application/zip"}}},
			"parameters": []map[string]any{{"name": "TARGET", "default": "all", "description": "what to test"}},
		}
		if err := s.call(ctx, http.MethodPut, "/jobs/"+name, doc, nil); err != nil {
			return nil, err
		}
	}
	var played int64
	for range 10 {
		if played, err = s.play(ctx, job); err != nil {
			return nil, err
		}
	}
	for i := range 20 { // they wait, for an agent that is gone
		if _, err := s.trigger(ctx, fmt.Sprintf("job-%d", i)); err != nil {
			return nil, err
		}
	}
	program := "all([run('job-%d' % i, name = 'test %d' % i) for i in range(12)])\napprove('deploy?')"
	if err := s.call(ctx, http.MethodPut, "/pipelines/ship", map[string]any{"program": program}, nil); err != nil {
		return nil, err
	}
	var line struct{ ID int64 }
	if err := s.call(ctx, http.MethodPost, "/pipelines/ship/runs", map[string]any{}, &line); err != nil {
		return nil, err
	}
	run := fmt.Sprintf("/ui/jobs/%s/runs/%d", job, played)
	return []string{
		"/ui/", "/ui/jobs", "/ui/jobs/" + job, "/ui/jobs/" + job + "/tests", "/ui/jobs/" + job + "/settings", run, run + "?page=3", run + "/tests/junit",
		"/ui/pipelines", "/ui/pipelines/ship", fmt.Sprintf("/ui/pipelines/ship/runs/%d", line.ID), "/ui/queue", "/ui/agents", "/ui/tokens", "/ui/settings", "/ui/sign-in",
	}, nil
}

// play carries a run out as an agent does that lives no longer than it.
func (s *server) play(ctx context.Context, job string) (id int64, err error) {
	var made struct{ Bearer string }
	if err := s.call(ctx, http.MethodPost, "/tokens", map[string]any{"name": "played-" + uuid.NewString(), "role": "agent"}, &made); err != nil {
		return 0, err
	}
	c, err := api.New(api.Config{URL: s.url, Token: made.Bearer})
	if err != nil {
		return 0, err
	}
	r, err := s.trigger(ctx, job)
	if err != nil {
		return 0, err
	}
	agent := c.Agent()
	terms, err := agent.Terms(ctx)
	if err != nil {
		return 0, err
	}
	claim := ci.Claim{Run: int64(r.ID), Agent: terms.Agent, ID: uuid.NewString()}
	if _, err := agent.Heartbeat(ctx, ci.Agent{ID: terms.Agent, CPUs: 4, FreeCPUs: 3, Memory: 8 << 30, FreeMemory: 6 << 30, Version: "played"}); err != nil {
		return 0, err
	}
	if _, err := agent.Claim(ctx, claim); err != nil {
		return 0, err
	}
	if err := agent.Started(ctx, claim); err != nil {
		return 0, err
	}
	text := []byte(strings.Repeat("\x1b[32mok\x1b[0m  \tshop/orders\t0.412s, as one line among many\n", pageConsole/62))
	var at int64
	for at < int64(len(text)) {
		if at, err = agent.AppendConsole(ctx, claim, at, text[at:min(at+256<<10, int64(len(text)))]); err != nil {
			return 0, err
		}
	}
	report, err := reportOf(200)
	if err != nil {
		return 0, err
	}
	if _, err := agent.PutResult(ctx, claim, ci.Result{Run: claim.Run, Name: "junit", ContentType: "application/zip", Filename: "junit.zip", Files: 1}, report); err != nil {
		return 0, err
	}
	code := 1
	if err := agent.Collecting(ctx, claim, &code); err != nil {
		return 0, err
	}
	return claim.Run, agent.Finish(ctx, claim, ci.End{Outcome: ci.OutcomeFailed, Reason: "The script exited with 1.", ExitCode: &code, ScriptStarted: true, Console: ci.Console{Bytes: at}})
}

// reportOf is a zip of one report with so many tests, of which one in twenty has failed.
func reportOf(tests int) (io.Reader, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("report.xml")
	if err != nil {
		return nil, err
	}
	fmt.Fprint(f, "<testsuite name=\"orders\">")
	for i := range tests {
		failure := ""
		if i%20 == 7 {
			failure = "<failure message=\"want 0, got -1\">orders_test.go:87: total of an empty cart</failure>"
		}
		fmt.Fprintf(f, "<testcase classname=\"orders\" name=\"TestOrder%d\" time=\"0.012\">%s</testcase>", i, failure)
	}
	fmt.Fprint(f, "</testsuite>")
	return &b, z.Close()
}
