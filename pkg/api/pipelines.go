package api

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"ci/pkg/ci"
)

// Pipelines are a layer on top of the API, with REST alone. Where they are a
// process of their own, the URL of the Client is that process's.

// PutPipeline creates or replaces a pipeline with p's Name, Program and Source,
// and returns it as it is stored. ifVersion replaces only that version (else
// ci.CodeStale); 0 replaces any.
func (c *Client) PutPipeline(ctx context.Context, p *ci.Pipeline, ifVersion int64) (stored *ci.Pipeline, created bool, err error) {
	a := ask{method: http.MethodPut, path: "/pipelines/" + p.Name, again: true}
	if ifVersion > 0 {
		a.header = map[string]string{"If-Match": versionTag(ifVersion)}
	}
	a.in = struct {
		Program string             `json:"program"`
		Source  *ci.PipelineSource `json:"source,omitempty"`
	}{p.Program, p.Source}
	status, err := c.document(ctx, a, &stored)
	return stored, status == http.StatusCreated, err
}

// GetPipeline returns one pipeline with its program.
func (c *Client) GetPipeline(ctx context.Context, name string) (p *ci.Pipeline, err error) {
	_, err = c.document(ctx, ask{method: http.MethodGet, path: "/pipelines/" + name, again: true}, &p)
	return p, err
}

// ListPipelines goes through all pipelines by name. An error is the last thing it yields.
func (c *Client) ListPipelines(ctx context.Context) iter.Seq2[ci.Pipeline, error] {
	return pages(func(token string) ([]ci.Pipeline, string, error) {
		var page struct {
			Pipelines     []ci.Pipeline
			NextPageToken string
		}
		_, err := c.document(ctx, ask{method: http.MethodGet, path: "/pipelines", query: pageOf(token), again: true}, &page)
		return page.Pipelines, page.NextPageToken, err
	})
}

// DeletePipeline removes a pipeline. Its runs stay.
func (c *Client) DeletePipeline(ctx context.Context, name string) error {
	_, err := c.document(ctx, ask{method: http.MethodDelete, path: "/pipelines/" + name}, nil)
	return err
}

// RunPipeline begins a run of a pipeline, one for each key. Without a key it
// makes one, so that it can repeat itself and never begins two.
func (c *Client) RunPipeline(ctx context.Context, name string, parameters map[string]string, key string) (*ci.PipelineRun, error) {
	return c.begin(ctx, "/pipelines/"+name+"/runs", map[string]any{"parameters": parameters}, key)
}

// RerunPipeline begins a run with the program and the parameters of one that is
// done. With failed it reuses what succeeded then. The key is as in RunPipeline.
func (c *Client) RerunPipeline(ctx context.Context, name string, id int64, failed bool, key string) (*ci.PipelineRun, error) {
	return c.begin(ctx, pipelineRun(name, id)+"/rerun", map[string]any{"failed": failed}, key)
}

func (c *Client) begin(ctx context.Context, path string, in any, key string) (run *ci.PipelineRun, err error) {
	if key == "" {
		key = uuid.NewString()
	}
	_, err = c.document(ctx, ask{method: http.MethodPost, path: path, header: map[string]string{"Idempotency-Key": key}, in: in, again: true}, &run)
	return run, err
}

// GetPipelineRun returns a run of a pipeline with its calls.
func (c *Client) GetPipelineRun(ctx context.Context, name string, id int64) (run *ci.PipelineRun, err error) {
	_, err = c.document(ctx, ask{method: http.MethodGet, path: pipelineRun(name, id), again: true}, &run)
	return run, err
}

// WaitPipelineRun returns the run once it is done, or more has happened than
// since, which is the Progress of the run as it was seen; -1 waits for its end.
// Only an error or the end of ctx stop it sooner.
func (c *Client) WaitPipelineRun(ctx context.Context, name string, id int64, since int) (run *ci.PipelineRun, err error) {
	a := ask{method: http.MethodGet, path: pipelineRun(name, id), query: url.Values{"wait": {hold.String()}}, again: true}
	if since >= 0 {
		a.query.Set("since", strconv.Itoa(since))
	}
	err = c.holding(ctx, func() (bool, error) {
		run = nil
		if _, err := c.document(ctx, a, &run); err != nil {
			return false, err
		}
		return run.Finished() || since >= 0 && run.Progress() != since, nil
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

// ListPipelineRuns goes through the runs of a pipeline, newest first and without
// their calls; name "" is all pipelines. Status and outcome select where they
// are not "". An error is the last thing it yields.
func (c *Client) ListPipelineRuns(ctx context.Context, name string, status ci.Status, outcome ci.Outcome) iter.Seq2[ci.PipelineRun, error] {
	if name == "" {
		name = "-"
	}
	return pages(func(token string) ([]ci.PipelineRun, string, error) {
		var page struct {
			Runs          []ci.PipelineRun
			NextPageToken string
		}
		query := pageOf(token)
		query.Set("status", string(status))
		query.Set("outcome", string(outcome))
		_, err := c.document(ctx, ask{method: http.MethodGet, path: "/pipelines/" + name + "/runs", query: query, again: true}, &page)
		return page.Runs, page.NextPageToken, err
	})
}

// WaitPipelineRuns returns the newest n runs of a pipeline, 500 at the most and without
// their calls, once they are in another state than since, which is that of a
// call before; "" answers at once. Name "" is all pipelines. Only an error or the end of ctx stop it sooner.
// Servers that can't hold the answer return the state "".
func (c *Client) WaitPipelineRuns(ctx context.Context, name string, n int, since string) (runs []ci.PipelineRun, state string, err error) {
	if name == "" {
		name = "-"
	}
	a := ask{method: http.MethodGet, path: "/pipelines/" + name + "/runs", query: url.Values{"pageSize": {strconv.Itoa(n)}}, again: true}
	if since != "" {
		a.query.Set("wait", hold.String())
		a.query.Set("since", since)
	}
	var page struct {
		Runs  []ci.PipelineRun
		State string
	}
	err = c.holding(ctx, func() (bool, error) {
		page.Runs = nil
		_, err := c.document(ctx, a, &page)
		return since == "" || page.State != since, err
	})
	if err != nil {
		return nil, "", err
	}
	return page.Runs, page.State, nil
}

// AbortPipelineRun asks for the end of a run, and of all runs that it has
// triggered. One that is done is ci.CodeConflict.
func (c *Client) AbortPipelineRun(ctx context.Context, name string, id int64) (run *ci.PipelineRun, err error) {
	_, err = c.document(ctx, ask{method: http.MethodPost, path: pipelineRun(name, id) + "/abort"}, &run)
	return run, err
}

// AnswerPipeline says yes or no to what the call of a run asks. One that was
// answered before is ci.CodeConflict, so it is not repeated.
func (c *Client) AnswerPipeline(ctx context.Context, name string, id int64, call string, approved bool, note string) (run *ci.PipelineRun, err error) {
	in := map[string]any{"approved": approved, "note": note}
	_, err = c.document(ctx, ask{method: http.MethodPost, path: pipelineRun(name, id) + "/approvals/" + call, in: in}, &run)
	return run, err
}

// PipelineProgram returns the text that a run carries out, whatever its pipeline says by now.
func (c *Client) PipelineProgram(ctx context.Context, name string, id int64) (text string, err error) {
	err = c.retry(ctx, func() (time.Duration, error) {
		resp, later, err := c.get(ctx, pipelineRun(name, id)+"/program", nil, nil)
		if err != nil {
			return later, err
		}
		defer func() { _ = resp.Body.Close() }() // it was only read
		all, err := io.ReadAll(io.LimitReader(resp.Body, ci.MaxProgram))
		text = string(all)
		return 0, c.fault(ctx, err)
	})
	return text, err
}

func pipelineRun(name string, id int64) string {
	return "/pipelines/" + name + "/runs/" + strconv.FormatInt(id, 10)
}

func pageOf(token string) url.Values {
	return url.Values{"pageSize": {strconv.Itoa(pageSize)}, "pageToken": {token}}
}

// ask is a request of documents in JSON. again says that it may be repeated.
type ask struct {
	method, path string
	query        url.Values
	header       map[string]string
	in           any
	again        bool
}

// document sends what is asked, and reads the answer into out; nil expects none.
func (c *Client) document(ctx context.Context, a ask, out any) (status int, err error) {
	var body []byte
	if a.in != nil {
		if body, err = json.Marshal(a.in); err != nil {
			return 0, ci.Errorf(ci.CodeInvalid, "no request can be made of %s: %w", a.path, err)
		}
	}
	once := func() (time.Duration, error) {
		resp, later, err := c.send(ctx, a.method, a.path, a.query, a.header, body)
		if err != nil {
			return later, err
		}
		defer func() { _ = resp.Body.Close() }() // it was only read
		status = resp.StatusCode
		if out == nil {
			return 0, nil
		}
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			return 0, ci.Errorf(ci.CodeUnavailable, "the answer of %s broke off, or is not JSON: %w", a.path, err)
		}
		return 0, nil
	}
	if a.again {
		return status, c.retry(ctx, once)
	}
	_, err = once()
	return status, err
}
