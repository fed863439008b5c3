package pipeline

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"ci/pkg/api"
	"ci/pkg/ci"
	"ci/pkg/replay"
)

func (s *Service) listPipelines(r *request) (any, error) {
	size, after, err := r.page()
	if err != nil {
		return nil, err
	}
	list, err := s.Journal.ListPipelines(r.Context(), after, size)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(list) == size {
		next = list[size-1].Name
	}
	return map[string]any{"pipelines": list, "nextPageToken": next}, nil
}

func (s *Service) getPipeline(r *request) (any, error) {
	p, err := s.Journal.GetPipeline(r.Context(), r.name())
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, header: map[string]string{"ETag": tag(p.Version)}, body: p}, nil
}

func tag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// putPipeline checks a program by running it to its first call, and makes it the newest version.
func (s *Service) putPipeline(r *request) (any, error) {
	var doc struct {
		Program string             `json:"program"`
		Source  *ci.PipelineSource `json:"source"`
	}
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	ifVersion, err := r.ifMatch()
	if err != nil {
		return nil, err
	}
	p := &ci.Pipeline{Name: r.name(), Program: doc.Program, Source: doc.Source, UpdatedBy: r.who.Name}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	out, err := s.probe(r.Context(), replay.Input{Name: p.Name, Program: p.Program, Declared: true})
	if err != nil {
		return nil, err
	}
	p.Parameters = append([]ci.PipelineParameter{}, out.Parameters...)
	created, err := s.Journal.PutPipeline(r.Context(), p, ifVersion, s.now())
	if err != nil {
		return nil, err
	}
	a := reply{status: http.StatusOK, header: map[string]string{"ETag": tag(p.Version)}, body: p}
	if created {
		a.status, a.header["Location"] = http.StatusCreated, "/pipelines/"+p.Name
	}
	return a, nil
}

// probe runs a program to its first call. What is wrong with it is ci.CodeInvalid.
func (s *Service) probe(ctx context.Context, in replay.Input) (*replay.Output, error) {
	in.Probe, in.Now = true, s.now()
	out, err := s.Evaluate(ctx, in)
	if err != nil {
		return nil, err
	}
	return out, out.Err()
}

// ifMatch is the version that a replace is for; 0 for any.
func (r *request) ifMatch() (int64, error) {
	text := r.Header.Get("If-Match")
	if text == "" || text == "*" {
		return 0, nil
	}
	version, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64)
	if err != nil || version < 1 {
		return 0, ci.Errorf(ci.CodeInvalid, "If-Match %q is not the ETag of a pipeline", api.Cut(text, 50))
	}
	return version, nil
}

func (s *Service) deletePipeline(r *request) (any, error) {
	return nil, s.Journal.DeletePipeline(r.Context(), r.name())
}
