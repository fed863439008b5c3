package convert

import (
	"fmt"

	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToResult adds href, the path of the result's bytes. job is the run's job.
func ToResult(job string, r *ci.Result) *civ1.Result {
	return &civ1.Result{
		Name:        r.Name,
		ContentType: r.ContentType,
		Size:        float64(r.Size),
		Sha256:      r.SHA256,
		Href:        ResultPath(job, r.Run, r.Name),
		Filename:    r.Filename,
		Files:       uint32(r.Files),
		CreatedAt:   ToTime(r.CreatedAt),
		Run:         uint32(r.Run),
		ExpiredAt:   ToTime(r.ExpiredAt),
	}
}

// FromResult is ToResult's inverse.
func FromResult(m *civ1.Result) ci.Result {
	return ci.Result{
		Run:         int64(m.GetRun()),
		Name:        m.GetName(),
		ContentType: m.GetContentType(),
		Size:        int64(m.GetSize()),
		SHA256:      m.GetSha256(),
		Filename:    m.GetFilename(),
		Files:       int(m.GetFiles()),
		CreatedAt:   FromTime(m.GetCreatedAt()),
		ExpiredAt:   FromTime(m.GetExpiredAt()),
	}
}

// RunPath is the path of a run.
func RunPath(job string, run int64) string { return fmt.Sprintf("/jobs/%s/runs/%d", job, run) }

// ResultPath is the path of a result's bytes.
func ResultPath(job string, run int64, name string) string {
	return RunPath(job, run) + "/results/" + name
}
