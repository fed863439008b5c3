package rpc

import (
	"context"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ConsoleType is the media type of consoles.
const ConsoleType = "text/plain; charset=utf-8"

// ListResults lists what a run has saved, the console last.
func (s *Services) ListResults(ctx context.Context, req *civ1.ListResultsRequest) (*civ1.ListResultsResponse, error) {
	run, err := s.Store.GetRun(ctx, req.GetName(), int64(req.GetId()))
	if err != nil {
		return nil, err
	}
	results, err := s.Store.ListResults(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	results = append(results, ci.Result{
		Run: run.ID, Name: ci.ConsoleResult, ContentType: ConsoleType, Files: 1,
		Size: run.Console.Bytes, SHA256: run.Console.SHA256, Filename: ci.ConsoleResult + ".txt",
		ExpiredAt: run.ConsoleExpiredAt,
	})
	out := &civ1.ListResultsResponse{Final: run.Done()}
	for i := range results {
		out.Results = append(out.Results, convert.ToResult(run.Job, &results[i]))
	}
	return out, nil
}
