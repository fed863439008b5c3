package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
	"ci/pkg/terminal"
)

// followOptions are the flags of verbs that stay with a run.
type followOptions struct {
	// wait stays until the run is done.
	wait bool
	// logs streams the console to Out while waiting.
	logs bool
	// detach stays with nothing, on a terminal too.
	detach bool
	// abort makes the first interrupt abort the run instead of leaving it alone.
	abort bool
	// ndjson prints the run as a line of JSON at each state it reaches.
	ndjson bool
}

// addFlags adds what every verb has that stays.
func (o *followOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.abort, "abort-on-interrupt", false, "while waiting, an interrupt aborts the run")
	cmd.Flags().BoolVar(&o.ndjson, "ndjson", false, "print the run's JSON, a line at each state: planned, started, done")
}

// addTriggerFlags adds what verbs have that trigger a run first.
func (o *followOptions) addTriggerFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&o.wait, "wait", "w", false, "wait until the run is done")
	cmd.Flags().BoolVarP(&o.logs, "logs", "l", false, "print the run's output while it runs; waits too; the default on a terminal")
	cmd.Flags().BoolVarP(&o.detach, "detach", "d", false, "only trigger it; the default in a pipe")
	o.addFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("detach", "wait")
	cmd.MarkFlagsMutuallyExclusive("detach", "logs")
	cmd.MarkFlagsMutuallyExclusive("detach", "ndjson")
}

// check refuses what does not go together.
func (o *followOptions) check(a *app) error {
	if o.logs && (a.wantsJSON() || o.ndjson) {
		return usagef("--logs prints the run's output, --json, --jq, --template and --ndjson the run itself; choose one")
	}
	return nil
}

// stays says whether a verb that triggered a run follows it.
func (o *followOptions) stays(a *app) bool {
	return o.wait || o.logs || o.ndjson || a.OutTTY && !o.detach && !a.wantsJSON()
}

// follower waits for a run and tells on Err how far it is.
type follower struct {
	*app
	followOptions
	client Client
	ref    ci.RunRef
}

// newFollower follows over a client that sits out a restart of the server.
func (a *app) newFollower(ref ci.RunRef, o followOptions) (*follower, error) {
	c, err := a.patientClient()
	return &follower{app: a, followOptions: o, client: c, ref: ref}, err
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
	again, stop := f.Again(ctx)
	defer stop()
	if !f.abort {
		err := f.detached()
		if !f.insists(again) {
			return nil, err
		}
	}
	return f.ended(again)
}

// insists says whether a second interrupt comes soon after the first. Only a
// person's terminal is asked; a script's interrupt is answered at once.
func (f *follower) insists(again context.Context) bool {
	if f.Linger <= 0 {
		return false
	}
	f.note("Interrupt again within %s to abort it.", f.Linger)
	timer := time.NewTimer(f.Linger)
	defer timer.Stop()
	select {
	case <-again.Done():
		return true
	case <-timer.C:
		return false
	}
}

// ended aborts the run and waits for its end. Another interrupt leaves it.
func (f *follower) ended(ctx context.Context) (*ci.Run, error) {
	again, stop := f.Again(ctx)
	defer stop()
	f.note("Asking for the end of %s. Another interrupt leaves it to itself.", f.ref)
	if _, err := f.client.Abort(again, f.ref.Job, f.ref.Run); err != nil && ci.CodeOf(err) != ci.CodeConflict {
		return nil, err
	}
	run, err := f.client.WaitRun(again, f.ref.Job, f.ref.Run, ci.UntilDone)
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
		return f.waitStreaming(ctx)
	}
	run, err := f.client.WaitRun(ctx, f.ref.Job, f.ref.Run, ci.UntilPlanned)
	if err != nil || run.Done() {
		return run, err
	}
	f.planned(run)
	if err := f.each(ctx); err != nil {
		return nil, err
	}
	if run, err = f.started(ctx); err != nil || run.Done() {
		return run, err
	}
	f.progress("running on %s", clean(run.Agent))
	if err := f.each(ctx); err != nil {
		return nil, err
	}
	return f.client.WaitRun(ctx, f.ref.Job, f.ref.Run, ci.UntilDone)
}

// waitStreaming waits while it prints the console, and says why a run is not
// started when that takes its time.
func (f *follower) waitStreaming(ctx context.Context) (*ci.Run, error) {
	aside, stop := context.WithCancel(ctx)
	told := make(chan struct{})
	go func() {
		defer close(told)
		_, _ = f.started(aside) // the stream finds out what is wrong
	}()
	err := f.stream(ctx)
	stop()
	<-told
	if err != nil {
		return nil, err
	}
	return f.client.WaitRun(ctx, f.ref.Job, f.ref.Run, ci.UntilDone)
}

// each prints the run as it is, as a line of JSON, when that is asked for.
func (f *follower) each(ctx context.Context) error {
	if !f.ndjson {
		return nil
	}
	return f.printLine(ctx, runPath(f.ref.Job, f.ref.Run))
}

// started waits for the script's begin, and says why when that takes its time.
func (f *follower) started(ctx context.Context) (*ci.Run, error) {
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	run, err := f.client.WaitRun(soon, f.ref.Job, f.ref.Run, ci.UntilStarted)
	if err == nil || soon.Err() == nil || ctx.Err() != nil {
		return run, err
	}
	if report, err := f.client.Explain(ctx, f.ref.Job, f.ref.Run); err == nil && report.Reason != "" {
		f.progress("%s: %s", clean(string(report.Phase)), clean(report.Reason))
	}
	return f.client.WaitRun(ctx, f.ref.Job, f.ref.Run, ci.UntilStarted)
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
func (a *app) copyConsole(ctx context.Context, c Client, ref ci.RunRef, from int64, follow bool) error {
	body, err := c.Console(ctx, ref.Job, ref.Run, from, follow)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read from
	out, end := a.consoleOut()
	_, err = io.Copy(out, body)
	return errors.Join(err, end())
}

// consoleOut is where a script's output goes: to a pipe as it is, to a terminal
// filtered. end ends what the output has left open.
func (a *app) consoleOut() (out io.Writer, end func() error) {
	if !a.OutTTY {
		return a.Out, func() error { return nil }
	}
	filter := terminal.NewFilter(a.Out, a.OutColor)
	return filter, filter.Close
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
	filter := terminal.NewFilter(a.Err, a.ErrColor)
	_, _ = filter.Write(append(bytes.Join(lines, nil), '\n'))
	_ = filter.Close()
}

func shortSHA(sha string) string { return sha[:min(len(sha), 10)] }
