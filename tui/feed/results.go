package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/api"
	"ci/pkg/ci"
	"ci/pkg/junit"
)

// downloads may take long; the connection's own silence ends them earlier.
const downloads = 30 * time.Minute

// TestsLoaded is what a run's JUnit results say.
type TestsLoaded struct {
	Ref ci.RunRef
	// Name is the result that was read.
	Name   string
	Report *junit.Report
	Err    error
}

// HoldsTests says whether a result looks like JUnit reports.
func HoldsTests(r ci.Result) bool {
	return strings.Contains(strings.ToLower(r.Name), "junit") || strings.HasSuffix(r.ContentType, "/xml")
}

// Tests fetches and reads a result that holds JUnit reports.
func (f *Feed) Tests(ref ci.RunRef, r ci.Result) tea.Cmd {
	return f.call(time.Minute, func(ctx context.Context) tea.Msg {
		report, err := f.report(ctx, ref, r)
		return TestsLoaded{ref, r.Name, report, err}
	})
}

func (f *Feed) report(ctx context.Context, ref ci.RunRef, r ci.Result) (*junit.Report, error) {
	if r.Size > junit.MaxBytes {
		return nil, ci.Errorf(ci.CodeTooLarge, "result %s has %s; that is too much for a report, download it instead", r.Name, ci.Bytes(r.Size))
	}
	var b bytes.Buffer
	if err := api.CopyResult(ctx, f.client, ref, r, &b); err != nil {
		return nil, err
	}
	return junit.ParseResult(r.Name, b.Bytes())
}

// Save downloads a result to a path where nothing is yet, whole or not at all.
func (f *Feed) Save(ref ci.RunRef, r ci.Result, path string) tea.Cmd {
	return f.call(downloads, func(ctx context.Context) tea.Msg {
		if err := f.save(ctx, ref, r, path); err != nil {
			return Acted{Err: err}
		}
		return Acted{Said: fmt.Sprintf("Saved %s, %s.", path, ci.Bytes(r.Size))}
	})
}

func (f *Feed) save(ctx context.Context, ref ci.RunRef, r ci.Result, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return ci.Errorf(ci.CodeConflict, "%s is there already; choose another name", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return ci.Errorf(ci.CodeInvalid, "the folder can't be made: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".ci-*")
	if err != nil {
		return ci.Errorf(ci.CodeInvalid, "%s can't be written: %w", path, err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // when all went well it is only a second name
	if err := errors.Join(tmp.Chmod(0o644), api.CopyResult(ctx, f.client, ref, r, tmp), tmp.Close()); err != nil {
		return err
	}
	// A link fails where somebody has made the path meanwhile; a rename would replace it.
	if err := os.Link(tmp.Name(), path); err != nil {
		return ci.Errorf(ci.CodeConflict, "%s can't be written: %w", path, err)
	}
	return nil
}
