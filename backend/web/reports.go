package web

import (
	"bytes"
	"context"
	"reflect"
	"strings"

	"ci/pkg/api"
	"ci/pkg/ci"
	"ci/pkg/junit"
)

// reportRoom is how many bytes the reports that are kept read may take together.
// They are kept by the SHA-256 of their results' bytes, so they never go stale.
const reportRoom = 64 << 20

// sizeOf is about how many bytes of memory a report takes. Texts that its cases share are counted for each.
func sizeOf(r *junit.Report) int64 {
	size := int64(cap(r.Cases)) * int64(reflect.TypeFor[junit.Case]().Size())
	for i := range r.Cases {
		c := &r.Cases[i]
		size += int64(len(c.Class) + len(c.Name) + len(c.File) + len(c.Message) + len(c.Details))
		for _, s := range c.Suites {
			size += int64(len(s)) + int64(reflect.TypeFor[string]().Size())
		}
	}
	return size
}

// holdsTests says whether a result looks like JUnit reports.
func holdsTests(r ci.Result) bool {
	return strings.Contains(strings.ToLower(r.Name), "junit") || strings.HasSuffix(r.ContentType, "/xml")
}

// readReport reads a result that holds JUnit reports.
func (v *visit) readReport(ctx context.Context, ref ci.RunRef, r ci.Result) (*junit.Report, error) {
	if known, ok := v.tests.get(r.SHA256); ok {
		return known, nil
	}
	if r.Size > junit.MaxBytes {
		return nil, ci.Errorf(ci.CodeTooLarge, "result %s has %s; that is too much for a report, download it instead", r.Name, ci.Bytes(r.Size))
	}
	var b bytes.Buffer
	if err := api.CopyResult(ctx, v.api, ref, r, &b); err != nil {
		return nil, err
	}
	report, err := junit.ParseResult(r.Name, b.Bytes())
	if err != nil {
		return nil, err
	}
	if size := sizeOf(report); r.SHA256 != "" && size <= reportRoom/4 { // one must not take the place of all others
		v.tests.put(r.SHA256, report, size)
	}
	return report, nil
}

// testSummary is what a run's page says of a result with tests.
type testSummary struct {
	Result string
	junit.Summary
	Failed []junit.Case // the first few
	More   int
	Error  *ci.Error
}

func (v *visit) summaries(ctx context.Context, run *ci.Run, results []ci.Result) []testSummary {
	const few = 5
	var all []testSummary
	for _, r := range results {
		if !holdsTests(r) || !r.ExpiredAt.IsZero() {
			continue // what went is said among the results
		}
		s := testSummary{Result: r.Name}
		report, err := v.readReport(ctx, ci.RunRef{Job: run.Job, Run: run.ID}, r)
		if err != nil {
			s.Error = asError(err)
		} else {
			s.Summary, s.Failed = report.Summary(), report.Unsuccessful()
			s.More = max(0, len(s.Failed)-few)
			s.Failed = s.Failed[:len(s.Failed)-s.More]
		}
		all = append(all, s)
	}
	return all
}

type reportPage struct {
	Run    *ci.Run
	Result string
	junit.Summary
	Failed, Skipped, Passed             []junit.Case
	MoreFailed, MoreSkipped, MorePassed int
}

// maxCases is how many cases of a kind a page shows.
const maxCases = 300

// report shows all tests of a result, failed ones first.
func (v *visit) report() error {
	job, id, err := v.ref()
	if err != nil {
		return err
	}
	ctx := v.r.Context()
	p := reportPage{Result: v.r.PathValue("result")}
	if p.Run, err = v.api.GetRun(ctx, job, id); err != nil {
		return err
	}
	results, err := v.api.Results(ctx, job, id)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Name != p.Result || r.Name == ci.ConsoleResult {
			continue
		}
		report, err := v.readReport(ctx, ci.RunRef{Job: job, Run: id}, r)
		if err != nil {
			return err
		}
		p.sort(report)
		return v.show("report", frame{Title: "Tests of " + job + "/" + v.r.PathValue("id"), Tab: "jobs", Page: p})
	}
	return ci.Errorf(ci.CodeNotFound, "run %s/%d has no result %.100q", job, id, p.Result)
}

func (p *reportPage) sort(r *junit.Report) {
	p.Summary = r.Summary()
	add := func(list *[]junit.Case, more *int, c junit.Case) {
		if len(*list) == maxCases {
			*more++
			return
		}
		*list = append(*list, c)
	}
	for _, c := range r.Cases {
		switch c.Status {
		case junit.Failed, junit.Errored:
			add(&p.Failed, &p.MoreFailed, c)
		case junit.Skipped:
			add(&p.Skipped, &p.MoreSkipped, c)
		default:
			add(&p.Passed, &p.MorePassed, c)
		}
	}
}
