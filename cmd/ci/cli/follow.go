package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ci/pkg/ci"
)

// follower waits for a run and tells on Err how far it is.
type follower struct {
	*app
	client Client
	ref    runRef
	// logs streams the console to Out while waiting.
	logs bool
	// abort makes the first interrupt abort the run instead of leaving it alone.
	abort bool
}

// newFollower follows over a client that sits out a restart of the server.
func (a *app) newFollower(ref runRef, logs, abort bool) (*follower, error) {
	c, err := a.patientClient()
	return &follower{app: a, client: c, ref: ref, logs: logs, abort: abort}, err
}

// patience is how long a run may wait in the queue before its follower asks why.
const patience = 10 * time.Second

// follow waits for the run's end and returns the run. When ctx ends first, it
// says how to go on and returns the error for exitDetached.
func (f *follower) follow(ctx context.Context) (*ci.Run, error) {
	run, err := f.wait(ctx)
	if err == nil || ctx.Err() == nil {
		return run, err
	}
	if !f.abort {
		return nil, f.detached()
	}
	again, stop := f.Again(ctx)
	defer stop()
	f.note("Asking for the end of %s. Another interrupt leaves it to itself.", f.ref)
	if _, err := f.client.Abort(again, f.ref.job, f.ref.id); err != nil && ci.CodeOf(err) != ci.CodeConflict {
		return nil, err
	}
	run, err = f.client.WaitRun(again, f.ref.job, f.ref.id, ci.UntilDone)
	if err != nil && again.Err() != nil {
		return nil, f.detached()
	}
	return run, err
}

func (f *follower) detached() error {
	f.note("Left %s to itself; it goes on. Come back with: ci watch %s", f.ref, f.ref)
	f.note("End it with: ci abort %s", f.ref)
	return &exitError{code: exitDetached}
}

func (f *follower) wait(ctx context.Context) (*ci.Run, error) {
	if f.logs {
		if err := f.stream(ctx); err != nil {
			return nil, err
		}
		return f.client.WaitRun(ctx, f.ref.job, f.ref.id, ci.UntilDone)
	}
	run, err := f.client.WaitRun(ctx, f.ref.job, f.ref.id, ci.UntilPlanned)
	if err != nil || run.Done() {
		return run, err
	}
	f.planned(run)
	if run, err = f.started(ctx); err != nil || run.Done() {
		return run, err
	}
	f.progress("running on %s", clean(run.Agent))
	return f.client.WaitRun(ctx, f.ref.job, f.ref.id, ci.UntilDone)
}

// started waits for the script's begin, and says why when that takes its time.
func (f *follower) started(ctx context.Context) (*ci.Run, error) {
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	run, err := f.client.WaitRun(soon, f.ref.job, f.ref.id, ci.UntilStarted)
	if err == nil || soon.Err() == nil || ctx.Err() != nil {
		return run, err
	}
	if report, err := f.client.Explain(ctx, f.ref.job, f.ref.id); err == nil && report.Reason != "" {
		f.progress("%s: %s", clean(string(report.Phase)), clean(report.Reason))
	}
	return f.client.WaitRun(ctx, f.ref.job, f.ref.id, ci.UntilStarted)
}

func (f *follower) planned(r *ci.Run) {
	what := ""
	if r.CommitSHA != "" {
		what = " at " + clean(shortSHA(r.CommitSHA))
	}
	f.progress("%s%s, class %s", state(r), what, clean(r.Class))
}

func (f *follower) progress(format string, args ...any) {
	f.note("%s %s", f.errStyle(dim, f.ref.String()), fmt.Sprintf(format, args...))
}

// stream copies the console to Out until the run's output is complete.
func (f *follower) stream(ctx context.Context) error {
	return f.copyConsole(ctx, f.client, f.ref, 0, true)
}

// copyConsole copies console output from an offset on to Out: filtered for a
// terminal, as it is for a pipe.
func (a *app) copyConsole(ctx context.Context, c Client, ref runRef, from int64, follow bool) error {
	body, err := c.Console(ctx, ref.job, ref.id, from, follow)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read from
	if !a.OutTTY {
		_, err = io.Copy(a.Out, body)
		return err
	}
	filter := &consoleFilter{w: a.Out, color: a.OutColor}
	_, err = io.Copy(filter, body)
	return errors.Join(err, filter.Close())
}

// outcome says on Err how the run ended, and why.
func (a *app) outcome(r *ci.Run) {
	line := fmt.Sprintf("%s %s", refOf(r), a.errStyle(stateStyle(r), state(r)))
	if d := took(r, a.Now()); d > 0 {
		line += " after " + short(d)
	}
	if r.Reason != "" {
		line += ": " + clean(r.Reason)
	}
	a.note("%s", line)
}

// tailLines and tailBytes are how much of a console is shown of a run that did not succeed.
const (
	tailLines = 20
	tailBytes = 32 << 10
)

// tail shows on Err the last lines of a console, and the command for all of it.
func (a *app) tail(ctx context.Context, c Client, r *ci.Run) {
	if r.Console.Bytes > 0 {
		body, err := c.Console(ctx, r.Job, r.ID, max(0, r.Console.Bytes-tailBytes), false)
		if err == nil {
			data, _ := io.ReadAll(io.LimitReader(body, tailBytes))
			_ = body.Close()
			a.printTail(data, r.Console.Bytes > tailBytes)
		}
		a.note("All of its output: ci logs %s", refOf(r))
	}
}

// printTail writes the last lines of data through the filter. cut says that
// data begins in the middle of a line.
func (a *app) printTail(data []byte, cut bool) {
	lines := bytes.SplitAfter(bytes.TrimRight(data, "\n"), []byte("\n"))
	if cut && len(lines) > 1 {
		lines = lines[1:]
	}
	lines = lines[max(0, len(lines)-tailLines):]
	filter := &consoleFilter{w: a.Err, color: a.ErrColor}
	_, _ = filter.Write(append(bytes.Join(lines, nil), '\n'))
	_ = filter.Close()
}

func shortSHA(sha string) string { return sha[:min(len(sha), 10)] }
