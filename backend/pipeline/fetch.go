package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"ci/pkg/api"
	"ci/pkg/ci"
	"ci/pkg/junit"
	"ci/pkg/replay"
)

// maxTests is the largest zip of JUnit files that is summed up.
const maxTests = 32 << 20

// fetch reads a result. That there is none is an answer, too.
func (t *turn) fetch(ctx context.Context, c *ci.PipelineCall, now time.Time) (bool, error) {
	var a replay.ResultArgs
	if err := json.Unmarshal(c.Args, &a); err != nil {
		return false, err
	}
	value, err := t.result(ctx, a)
	if err != nil {
		return false, fmt.Errorf("reading result %s of %s/%d: %w", a.Name, a.Job, a.ID, err)
	}
	if value.Missing != "" {
		return t.finish(c, now, ci.OutcomeFailed, value.Missing, value)
	}
	return t.finish(c, now, ci.OutcomeSucceeded, "", value)
}

func (t *turn) result(ctx context.Context, a replay.ResultArgs) (*replay.ResultValue, error) {
	ref := ci.RunRef{Job: a.Job, Run: a.ID}
	if a.ID == 0 {
		return &replay.ResultValue{Missing: fmt.Sprintf("%s was not triggered, so it has no result %s", a.Job, a.Name)}, nil
	}
	list, err := t.API.Results(ctx, a.Job, a.ID)
	if refused(err) {
		return &replay.ResultValue{Missing: fmt.Sprintf("%s has no result %s: %s", ref, a.Name, err)}, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range list {
		if r.Name == a.Name {
			return t.read(ctx, ref, r)
		}
		names = append(names, r.Name)
	}
	return &replay.ResultValue{Missing: fmt.Sprintf("%s has no result %s; it has %s", ref, a.Name, orNone(names))}, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// read gets what a program can use of a result: a short text, or the sum of its tests.
func (t *turn) read(ctx context.Context, ref ci.RunRef, r ci.Result) (*replay.ResultValue, error) {
	v := &replay.ResultValue{ContentType: r.ContentType, Size: r.Size, SHA256: r.SHA256}
	zipped := strings.HasPrefix(r.ContentType, "application/zip")
	if !zipped && r.Size > replay.MaxResultText || r.Size > maxTests {
		return v, nil
	}
	var b bytes.Buffer
	switch err := api.CopyResult(ctx, t.API, ref, r, &capped{&b, maxTests}); {
	case ci.CodeOf(err) == ci.CodeExpired:
		return &replay.ResultValue{Missing: fmt.Sprintf("%s has no result %s any more: %s", ref, r.Name, err)}, nil
	case err != nil:
		return nil, err
	}
	if zipped {
		v.Tests = testsOf(b.Bytes())
		return v, nil
	}
	if text := b.String(); utf8.ValidString(text) && !strings.ContainsRune(text, 0) && len(text) <= replay.MaxResultText {
		v.Text = &text
	}
	return v, nil
}

// capped refuses more bytes than a result said that it had.
type capped struct {
	to   io.Writer
	room int
}

func (c *capped) Write(p []byte) (int, error) {
	if c.room -= len(p); c.room < 0 {
		return 0, errors.New("the result is longer than it should be")
	}
	return c.to.Write(p)
}

// testsOf sums up a zip of JUnit files; nil when it is none.
func testsOf(zip []byte) *replay.Tests {
	report, err := junit.ParseZip(bytes.NewReader(zip), int64(len(zip)))
	if err != nil || len(report.Cases) == 0 {
		return nil
	}
	sum := report.Summary()
	t := &replay.Tests{Total: sum.Total(), Failed: sum.Failed + sum.Errored, Skipped: sum.Skipped}
	for i := range report.Cases {
		c := &report.Cases[i]
		if bad := c.Status == junit.Failed || c.Status == junit.Errored; bad && len(t.Failures) < replay.MaxFailures {
			t.Failures = append(t.Failures, strings.ToValidUTF8(c.Class+" "+c.Name, "�"))
		}
	}
	return t
}
