// Package tui is the terminal UI: runs, jobs, agents, queues and pipelines of one server on
// a full screen, live. Everything goes through pkg/api; this house knows no other.
//
// A screen is a room of its own (runlist, runview, logview, joblist, agentlist,
// queuelist, pipelinelist, pipelineview). feed is the only caller of the client. Nothing that waits
// runs on the update loop.
package tui

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/tui/feed"
	"ci/tui/paint"
	"ci/tui/plain"
	"ci/tui/screen"
	"ci/tui/theme"
)

// Config is what the terminal UI needs. All but Open, Theme and Spill are required.
type Config struct {
	Client feed.Client
	// Pipelines is the API of pipelines, which may be another server's.
	Pipelines feed.PipelineClient
	// Server is the server's address as people see it.
	Server string
	// In and Out are the terminal.
	In, Out *os.File
	Env     func(string) string
	Now     func() time.Time
	// Theme is "dark" or "light"; "" asks the terminal.
	Theme string
	// Open is a run to begin with; nil begins with the list.
	Open *ci.RunRef
	// WriteJob and ReadJob turn a job into the text that people edit, and back.
	WriteJob func(*ci.Job) ([]byte, error)
	ReadJob  func([]byte) (*ci.Job, error)
}

// Run shows the terminal UI until the user leaves it, or ctx ends.
func Run(ctx context.Context, c Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &output{File: c.Out}
	in := &input{File: c.In}
	terminal := paint.New(c.In, c.Out, out)
	dark, known := theme.Ground(c.Env)
	if c.Theme != "" {
		dark, known = c.Theme != "light", true
	}
	world := &screen.World{
		Theme: theme.New(theme.Depth(c.Env), dark), Feed: feed.New(ctx, c.Client, c.Pipelines, c.Now), Now: c.Now,
		Tools: screen.Tools{Copy: out.copy, Edit: editor{c.Env, terminal}.edit, WriteJob: c.WriteJob, ReadJob: c.ReadJob, Spill: spillFolder(c.Env)},
	}
	p := newProgram(world, c.Server)
	if c.Open != nil {
		p.open(*c.Open)
	}
	d := &drawn{program: p, terminal: terminal, now: time.Now}
	prog := tea.NewProgram(d, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out),
		tea.WithoutRenderer(), tea.WithoutSignalHandler())
	if err := terminal.Enter(); err != nil {
		return err
	}
	var feeding sync.WaitGroup
	feeding.Go(func() { world.Feed.Run(prog.Send) })
	feeding.Go(func() { resizes(ctx, prog.Send) })
	if !known && asks(c.Env) {
		in.await(func(dark bool) { prog.Send(ground{dark}) })
		p.start = out.ask
	}
	_, err := prog.Run()
	err = errors.Join(err, terminal.Leave(), d.err)
	cancel()
	feeding.Wait()
	p.close()
	if err != nil && (!errors.Is(err, tea.ErrProgramKilled) || errors.Is(err, tea.ErrProgramPanic)) {
		return fmt.Errorf("the terminal UI: %w", err)
	}
	return ctx.Err()
}

// Plain speaks in lines, over any input and output; In and Out of the
// configuration are not used.
func Plain(ctx context.Context, c Config, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return plain.New(feed.New(ctx, c.Client, c.Pipelines, c.Now), in, out, c.Now).Run(ctx)
}

// spillFolder is where console output is kept that is too much for memory: not
// in /tmp, which often is memory.
func spillFolder(env func(string) string) string {
	if dir := env("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ci")
	}
	if home := env("HOME"); home != "" {
		return filepath.Join(home, ".cache", "ci")
	}
	return os.TempDir()
}

// asks says whether the terminal can be asked for its background: most answer,
// or say nothing; the console of Linux is not one of them.
func asks(env func(string) string) bool {
	term := env("TERM")
	return term != "linux" && term != "dumb" && term != ""
}

// output is the terminal, for the renderer and for what else writes to it.
type output struct {
	*os.File
	mu sync.Mutex
}

// Write implements io.Writer; sequences of two writers don't mix.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.File.Write(p)
}

// ask asks for the background. It is sent once the terminal is ours, or the
// answer would be shown.
func (o *output) ask() tea.Msg {
	_, _ = o.Write([]byte(theme.AskGround)) // without an answer the ground stays as it was guessed
	return nil
}

// copy puts a text on the clipboard by xterm's OSC 52, which also works over SSH.
func (o *output) copy(text string) error {
	_, err := o.Write([]byte("\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte(text)) + "\x07"))
	return err
}

// input is the keyboard, without a terminal's answers to questions.
type input struct {
	*os.File
	answers *theme.Answers // nil when nothing was asked
}

// await has the answer to the question for the background taken out of what is typed.
func (i *input) await(ground func(dark bool)) {
	i.answers = &theme.Answers{Ground: ground}
}

// Read implements io.Reader.
func (i *input) Read(p []byte) (int, error) {
	if i.answers == nil {
		return i.File.Read(p)
	}
	room := len(p) - i.answers.Held()
	n, err := i.File.Read(p[:room])
	return copy(p, i.answers.Filter(p[:n])), err
}
