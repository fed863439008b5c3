package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// PutJob creates or replaces a job.
func (s *Services) PutJob(ctx context.Context, req *civ1.PutJobRequest) (*civ1.PutJobResponse, error) {
	sizes := map[string]float64{}
	keptSizes(sizes, "keep", req.GetJob().GetKeep())
	if err := wholeSizes("the job", sizes); err != nil {
		return nil, err
	}
	job, err := convert.FromJob(orEmpty(req.GetJob()))
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "%w", err)
	}
	if job.Name == "" {
		job.Name = req.GetName()
	}
	if job.Name != req.GetName() {
		return nil, wrong("the job", "name", "%q is not the name in the path, %q; a job can't be renamed", job.Name, req.GetName())
	}
	if err := s.checkJob(ctx, job); err != nil {
		return nil, err
	}
	if err := s.mayUseKey(ctx, job); err != nil {
		return nil, err
	}
	version, err := s.jobVersion(ctx, job.Name, req.GetIfMatch(), req.GetIfNoneMatch())
	if err != nil {
		return nil, err
	}
	created, err := s.Store.PutJob(ctx, job, version)
	if err != nil {
		return nil, err
	}
	out, err := convert.ToJob(job)
	return &civ1.PutJobResponse{Job: out, Created: created}, err
}

// checkJob refuses what no run of the job could ever be carried out with.
func (s *Services) checkJob(ctx context.Context, job *ci.Job) error {
	if err := job.Validate(); err != nil {
		return err
	}
	if job.Git != nil {
		return s.CheckURL(ctx, job.Git.URL)
	}
	spec, err := s.CheckSpec(job.Freestyle)
	if err != nil {
		return err
	}
	config, err := s.Store.GetConfig(ctx)
	if err != nil {
		return err
	}
	_, err = ci.ClassFor(config.Classes, spec.Resources)
	return err
}

// jobVersion turns preconditions into a version for the store: 0 is any, -1 none.
func (s *Services) jobVersion(ctx context.Context, name, ifMatch, ifNoneMatch string) (int64, error) {
	if ifNoneMatch != "" {
		if ifNoneMatch != "*" || ifMatch != "" {
			return 0, wrong("the request", "If-None-Match", "%q is not possible here; only * alone is (create, and never replace)", ifNoneMatch)
		}
		return -1, nil
	}
	if ifMatch == "" {
		return 0, nil
	}
	tags, err := parseTags(ifMatch)
	if err != nil {
		return 0, err
	}
	job, err := s.Store.GetJob(ctx, name)
	switch {
	case ci.CodeOf(err) == ci.CodeNotFound:
		return 0, ci.Errorf(ci.CodeStale, "If-Match asks for an existing job, and there is no job %s", name)
	case err != nil:
		return 0, err
	case !tags.match(versionTag(job.Version, job.CreatedAt), job.Version):
		return 0, ci.Errorf(ci.CodeStale, "job %s is at version %d, which is not what If-Match names; get it again and repeat the change", name, job.Version)
	}
	return job.Version, nil
}

// GetJob returns one job.
func (s *Services) GetJob(ctx context.Context, req *civ1.GetJobRequest) (*civ1.Job, error) {
	job, err := s.Store.GetJob(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return convert.ToJob(job)
}

// ListJobs returns one page of the jobs that the caller may see.
func (s *Services) ListJobs(ctx context.Context, req *civ1.ListJobsRequest) (*civ1.ListJobsResponse, error) {
	p, _ := auth.FromContext(ctx)
	pg, err := newPage("jobs", req.GetPageSize(), req.GetPageToken(), "")
	if err != nil {
		return nil, err
	}
	jobs, err := s.Store.ListJobs(ctx, pg.after, pg.size+1, p.Visible())
	if err != nil {
		return nil, err
	}
	jobs, next := cut(pg, jobs, func(j *ci.Job) string { return j.Name })
	out := &civ1.ListJobsResponse{NextPageToken: next}
	for i := range jobs {
		j, err := convert.ToJob(&jobs[i])
		if err != nil {
			return nil, err
		}
		out.Jobs = append(out.Jobs, j)
	}
	return out, nil
}

// DeleteJob deletes a job.
func (s *Services) DeleteJob(ctx context.Context, req *civ1.DeleteJobRequest) (*emptypb.Empty, error) {
	version, err := s.jobVersion(ctx, req.GetName(), req.GetIfMatch(), "")
	if err != nil {
		return nil, err
	}
	if _, err := s.Store.GetJob(ctx, req.GetName()); err != nil {
		return nil, err
	}
	// The secrets go first: a later job of the same name must not find them.
	if err := s.Secrets.Forget(ctx, req.GetName()); err != nil {
		return nil, err
	}
	return new(emptypb.Empty), s.Store.DeleteJob(ctx, req.GetName(), version)
}

// recentRuns is how many of a job's newest runs ListJobResults looks at.
const recentRuns = 100

// ListJobResults lists the names of results that recent runs have saved.
func (s *Services) ListJobResults(ctx context.Context, req *civ1.ListJobResultsRequest) (*civ1.ListJobResultsResponse, error) {
	if _, err := s.Store.GetJob(ctx, req.GetName()); err != nil {
		return nil, err
	}
	names, err := s.Store.JobResults(ctx, req.GetName(), recentRuns)
	return &civ1.ListJobResultsResponse{Results: names}, err
}
