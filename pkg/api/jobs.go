package api

import (
	"context"
	"iter"
	"strconv"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// pageSize is how many things the client asks for at once.
const pageSize = 200

// PutJob creates or replaces a job and returns it as it is stored. ifVersion
// replaces only that version (else ci.CodeStale); 0 replaces any, -1 only creates.
func (c *Client) PutJob(ctx context.Context, j *ci.Job, ifVersion int64) (job *ci.Job, created bool, err error) {
	m, err := convert.ToJob(j)
	if err != nil {
		return nil, false, ci.Errorf(ci.CodeInvalid, "%w", err)
	}
	req := &civ1.PutJobRequest{Name: j.Name, Job: m}
	switch {
	case ifVersion > 0:
		req.IfMatch = versionTag(ifVersion)
	case ifVersion < 0:
		req.IfNoneMatch = "*"
	}
	resp, err := call(ctx, c, c.jobs.PutJob, req)
	if err != nil {
		return nil, false, err
	}
	job, err = convert.FromJob(resp.GetJob())
	return job, resp.GetCreated(), err
}

// versionTag is the ETag that stands for a version whatever else its thing is.
func versionTag(v int64) string { return `"` + strconv.FormatInt(v, 10) + `"` }

// GetJob returns one job.
func (c *Client) GetJob(ctx context.Context, name string) (*ci.Job, error) {
	m, err := call(ctx, c, c.jobs.GetJob, &civ1.GetJobRequest{Name: name})
	if err != nil {
		return nil, err
	}
	return convert.FromJob(m)
}

// ListJobs goes through all jobs by name. An error is the last thing it yields.
func (c *Client) ListJobs(ctx context.Context) iter.Seq2[ci.Job, error] {
	return pages(func(token string) ([]ci.Job, string, error) {
		m, err := call(ctx, c, c.jobs.ListJobs, &civ1.ListJobsRequest{PageSize: pageSize, PageToken: token})
		if err != nil {
			return nil, "", err
		}
		jobs := make([]ci.Job, len(m.GetJobs()))
		for i, j := range m.GetJobs() {
			job, err := convert.FromJob(j)
			if err != nil {
				return nil, "", err
			}
			jobs[i] = *job
		}
		return jobs, m.GetNextPageToken(), nil
	})
}

// pages goes through all items of all pages.
func pages[T any](page func(token string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for token := ""; ; {
			items, next, err := page(token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

// DeleteJob deletes a job. Its runs stay.
func (c *Client) DeleteJob(ctx context.Context, name string) error {
	// Not repeated: a second try of a lost success would say that there is no such job.
	_, err := once(ctx, c, c.jobs.DeleteJob, &civ1.DeleteJobRequest{Name: name})
	return err
}

// JobResults lists the names of the results that recent runs of a job have saved.
func (c *Client) JobResults(ctx context.Context, job string) ([]string, error) {
	m, err := call(ctx, c, c.jobs.ListJobResults, &civ1.ListJobResultsRequest{Name: job})
	return m.GetResults(), err
}
