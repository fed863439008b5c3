package cli

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
	"ci/tui"
)

type tuiOptions struct {
	*app
	theme string
	plain bool
}

func newTUI(a *app) *cobra.Command {
	o := &tuiOptions{app: a}
	cmd := &cobra.Command{
		Use:     "tui [RUN]",
		Aliases: []string{"ui"},
		Short:   "Open the terminal UI; ci without a verb does so too",
		Long: "Open the terminal UI: runs, jobs, agents, the queue and pipelines on a full screen, live. ? shows the keys.\n\n" +
			"`ci tui unit-test@latest` begins with a run.\n\n" +
			"With --plain, CI_PLAIN=1 or TERM=dumb it speaks in lines instead, one question and one answer after\n" +
			"the other, for screen readers and terminals that can't do more.",
		Example: "  echo 'runs failed' | ci tui --plain",
		Args:    cobra.MaximumNArgs(2),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Flags().StringVar(&o.theme, "theme", "", "dark or light `ground`; default is CI_THEME, or asks the terminal")
	cmd.Flags().BoolVar(&o.plain, "plain", false, "speak in lines, for screen readers (CI_PLAIN)")
	return cmd
}

func (o *tuiOptions) run(ctx context.Context, args []string) error {
	if o.theme == "" {
		o.theme = o.Env("CI_THEME")
	}
	if o.theme != "" && o.theme != "dark" && o.theme != "light" {
		return usagef("--theme or CI_THEME: %q is neither dark nor light", o.theme)
	}
	e, err := o.endpoint()
	if err != nil {
		return err
	}
	// The terminal UI itself says when it tries again.
	c, err := o.dial(e, o.userAgent(), -1)
	if err != nil {
		return err
	}
	pipelines, err := o.pipelineClient(-1)
	if err != nil {
		return err
	}
	config := tui.Config{
		Client: c, Pipelines: pipelines, Server: e.URL, Env: o.Env, Now: o.Now, Theme: o.theme,
		WriteJob: writeJob,
		ReadJob:  readJob,
	}
	if len(args) > 0 {
		_, ref, _, err := o.openRun(ctx, args)
		if err != nil {
			return err
		}
		config.Open = &ref
	}
	if o.plain || o.Env("CI_PLAIN") != "" || o.Env("TERM") == "dumb" {
		return tui.Plain(ctx, config, o.In, o.Out)
	}
	return o.screen(ctx, config)
}

// screen opens the full screen, which needs a real terminal.
func (o *tuiOptions) screen(ctx context.Context, config tui.Config) error {
	in, isIn := o.In.(*os.File)
	out, isOut := o.Out.(*os.File)
	if !isIn || !isOut || !o.InTTY || !o.OutTTY {
		return usagef("the terminal UI needs a terminal; `ci tui --plain` does without, and `ci ls` lists runs")
	}
	config.In, config.Out = in, out
	if err := tui.Run(ctx, config); !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

// bare is ci without a verb: the terminal UI on a terminal where a server is known, else the help.
func (a *app) bare(cmd *cobra.Command) error {
	if !a.InTTY || !a.OutTTY || a.wantsJSON() {
		return cmd.Help()
	}
	if _, err := a.endpoint(); err != nil {
		return errors.Join(cmd.Help(), err)
	}
	o := &tuiOptions{app: a}
	return o.run(cmd.Context(), nil)
}

// writeJob is a job as people edit it.
func writeJob(j *ci.Job) ([]byte, error) {
	text, err := jobText(j)
	return []byte(text), err
}

// readJob reads what people have made of it; the file holds exactly one job.
func readJob(text []byte) (*ci.Job, error) {
	jobs, err := parseJobs("the text", text)
	if err != nil {
		return nil, err
	}
	if len(jobs) != 1 {
		return nil, usagef("the text holds %d jobs; one is edited at a time", len(jobs))
	}
	return &jobs[0], nil
}
