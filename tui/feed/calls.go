package feed

import (
	"context"
	"fmt"
	"io"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
)

// Details is what a run's screen shows beside the list.
type Details struct {
	Ref ci.RunRef
	Run *ci.Run
	// Results is without the console.
	Results []ci.Result
	// Children are the runs that its script triggered, newest first, at most MaxChildren.
	Children []ci.Run
	// Queue says why it waits; nil when it does not.
	Queue *ci.QueueReport
	// Tail is the end of its console, as it is, when the run is done.
	Tail []byte
	Err  error
}

// MaxChildren is how many children are asked for.
const MaxChildren = 50

// tailBytes is how much of the console's end Details has.
const tailBytes = 4 << 10

// Acted is the end of something that the user did.
type Acted struct {
	// Said is what was done, in a sentence. "" when Err is set.
	Said string
	Err  error
	// Run is the run that it made or changed; nil for other things.
	Run *ci.Run
	// Pipeline is the run of a pipeline that it made or changed; nil for other things.
	Pipeline *ci.PipelineRun
	// Made says that Run or Pipeline is a new one.
	Made bool
}

// Jobs of one name, and a job's secrets.
type (
	// JobLoaded is one job as it is stored.
	JobLoaded struct {
		Job *ci.Job
		Err error
	}
	// RunsLoaded are the newest runs of one job.
	RunsLoaded struct {
		Job  string
		Runs []ci.Run
		Err  error
	}
	// SecretsLoaded is what is shown of a job's secrets.
	SecretsLoaded struct {
		Job     string
		Secrets []ci.Secret
		Err     error
	}
	// Explained says why a run waits.
	Explained struct {
		Ref    ci.RunRef
		Report *ci.QueueReport
		Err    error
	}
)

// call makes a command of a call that has a while to end.
func (f *Feed) call(limit time.Duration, do func(context.Context) tea.Msg) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(f.ctx, limit)
		defer cancel()
		return do(ctx)
	}
}

// act makes a command of something that the user does. The picture is looked at again after it.
func (f *Feed) act(do func(context.Context) Acted) tea.Cmd {
	return f.call(patience, func(ctx context.Context) tea.Msg {
		a := do(ctx)
		if a.Err != nil {
			a.Said = ""
		}
		f.Wake()
		return a
	})
}

// Details asks for all about a run.
func (f *Feed) Details(ref ci.RunRef) tea.Cmd {
	return f.call(patience, func(ctx context.Context) tea.Msg {
		d := Details{Ref: ref}
		d.Err = f.details(ctx, &d)
		return d
	})
}

func (f *Feed) details(ctx context.Context, d *Details) (err error) {
	if d.Run, err = f.client.GetRun(ctx, d.Ref.Job, d.Ref.Run); err != nil {
		return err
	}
	results, err := f.client.Results(ctx, d.Ref.Job, d.Ref.Run)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Name != ci.ConsoleResult {
			d.Results = append(d.Results, r)
		}
	}
	if d.Run.Spec != nil && d.Run.Spec.CI {
		if d.Children, err = take(f.client.ListRuns(ctx, ci.RunFilter{Parent: d.Ref.Run}), MaxChildren); err != nil {
			return err
		}
	}
	if !d.Run.Done() && (d.Run.Phase == ci.PhaseQueued || d.Run.Phase == ci.PhasePlanning) {
		if d.Queue, err = f.client.Explain(ctx, d.Ref.Job, d.Ref.Run); err != nil && away(err) {
			return err
		}
	}
	if d.Run.Done() && d.Run.Console.Bytes > 0 {
		d.Tail, err = f.tail(ctx, d)
	}
	return err
}

// tail reads the end of a done run's console.
func (f *Feed) tail(ctx context.Context, d *Details) ([]byte, error) {
	r, err := f.client.Console(ctx, d.Ref.Job, d.Ref.Run, max(0, d.Run.Console.Bytes-tailBytes), false)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read from
	return io.ReadAll(io.LimitReader(r, tailBytes))
}

// Explain asks why a run waits.
func (f *Feed) Explain(ref ci.RunRef) tea.Cmd {
	return f.call(patience, func(ctx context.Context) tea.Msg {
		r, err := f.client.Explain(ctx, ref.Job, ref.Run)
		return Explained{ref, r, err}
	})
}

// RunsOf asks for the newest runs of one job.
func (f *Feed) RunsOf(job string, n int) tea.Cmd {
	return f.call(patience, func(ctx context.Context) tea.Msg {
		runs, err := take(f.client.ListRuns(ctx, ci.RunFilter{Job: job}), n)
		return RunsLoaded{job, runs, err}
	})
}

// Job asks for one job.
func (f *Feed) Job(name string) tea.Cmd {
	return f.call(patience, func(ctx context.Context) tea.Msg {
		j, err := f.client.GetJob(ctx, name)
		return JobLoaded{j, err}
	})
}

// Trigger triggers a run. It is not repeated by itself: its key makes a second try harmless.
func (f *Feed) Trigger(t ci.Trigger) tea.Cmd {
	return f.act(func(ctx context.Context) Acted {
		run, err := f.client.Trigger(ctx, t)
		if err != nil {
			return Acted{Err: err}
		}
		return Acted{Said: fmt.Sprintf("Triggered %s/%d.", run.Job, run.ID), Run: run, Made: true}
	})
}

// Abort asks for a run's end.
func (f *Feed) Abort(ref ci.RunRef) tea.Cmd {
	return f.act(func(ctx context.Context) Acted {
		run, err := f.client.Abort(ctx, ref.Job, ref.Run)
		return Acted{Said: fmt.Sprintf("%s is asked to end.", ref), Run: run, Err: err}
	})
}

// Drain orders an agent to take nothing new.
func (f *Feed) Drain(agent string, d ci.Drain) tea.Cmd {
	return f.act(func(ctx context.Context) Acted {
		_, err := f.client.Drain(ctx, agent, d)
		return Acted{Said: agent + " takes nothing new.", Err: err}
	})
}

// Undrain lets an agent take runs again.
func (f *Feed) Undrain(agent string) tea.Cmd {
	return f.act(func(ctx context.Context) Acted {
		return Acted{Said: agent + " takes runs again.", Err: f.client.Undrain(ctx, agent)}
	})
}

// PutJob stores a job over the version that was edited: 0 any, -1 only a new one.
func (f *Feed) PutJob(j *ci.Job, ifVersion int64) tea.Cmd {
	return f.act(func(ctx context.Context) Acted {
		stored, created, err := f.client.PutJob(ctx, j, ifVersion)
		if err != nil {
			return Acted{Err: err}
		}
		f.forgetJobs()
		if created {
			return Acted{Said: "Job " + stored.Name + " is made."}
		}
		return Acted{Said: fmt.Sprintf("Job %s is stored, version %d.", stored.Name, stored.Version)}
	})
}

// DeleteJob deletes a job.
func (f *Feed) DeleteJob(name string) tea.Cmd {
	return f.act(func(ctx context.Context) Acted {
		err := f.client.DeleteJob(ctx, name)
		f.forgetJobs()
		return Acted{Said: "Job " + name + " is deleted; its runs stay.", Err: err}
	})
}

// Secrets asks for what is shown of a job's secrets.
func (f *Feed) Secrets(job string) tea.Cmd {
	return f.call(patience, func(ctx context.Context) tea.Msg {
		s, err := f.client.ListSecrets(ctx, job)
		return SecretsLoaded{job, s, err}
	})
}

// PutSecret sets a secret's value.
func (f *Feed) PutSecret(job, name, value string) tea.Cmd {
	return f.act(func(ctx context.Context) Acted {
		_, err := f.client.PutSecret(ctx, job, name, value)
		return Acted{Said: "Secret " + name + " of " + job + " is set.", Err: err}
	})
}

// DeleteSecret deletes a secret.
func (f *Feed) DeleteSecret(job, name string) tea.Cmd {
	return f.act(func(ctx context.Context) Acted {
		return Acted{Said: "Secret " + name + " of " + job + " is deleted.", Err: f.client.DeleteSecret(ctx, job, name)}
	})
}
