// Package plain is the terminal UI in lines: a question, and an answer that stays
// where it is. Screen readers read it from top to bottom, and terminals need to be
// able to do nothing. It says in words what the screens say in colours and places.
package plain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
)

// Talk is one conversation.
type Talk struct {
	feed *feed.Feed
	in   *bufio.Scanner
	out  io.Writer
	now  func() time.Time
}

// maxLine is the longest line that is read.
const maxLine = 1 << 20

// New makes a conversation over a feed whose Run nobody calls.
func New(f *feed.Feed, in io.Reader, out io.Writer, now func() time.Time) *Talk {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	return &Talk{feed: f, in: lines, out: out, now: now}
}

// verb is one thing that can be asked for.
type verb struct {
	name, args, help string
	least            int // arguments that are needed
	do               func(t *Talk, args []string) error
}

// verbs are all of them, in the order of the help.
func verbs() []verb {
	return []verb{
		{"runs", "[WORD…]", "list runs, newest first; only those that hold the words", 0, (*Talk).runs},
		{"run", "JOB/RUN", "say what became of a run, and why", 1, (*Talk).run},
		{"log", "JOB/RUN [LINES]", "print the end of its console", 1, (*Talk).log},
		{"follow", "JOB/RUN", "print its console until it ends", 1, (*Talk).follow},
		{"tests", "JOB/RUN", "list the tests that failed, with message and stack", 1, (*Talk).tests},
		{"get", "JOB/RUN RESULT [PATH]", "download a result", 2, (*Talk).get},
		{"jobs", "[WORD…]", "list jobs and how their last runs ended", 0, (*Talk).jobs},
		{"trigger", "JOB [branch=B] [commit=C] [NAME=VALUE…]", "run a job", 1, (*Talk).trigger},
		{"again", "JOB/RUN", "run it again: the same commit and parameters", 1, (*Talk).again},
		{"abort", "JOB/RUN", "end a run", 1, (*Talk).abort},
		{"why", "JOB/RUN", "say why a run waits", 1, (*Talk).why},
		{"queue", "", "say how many runs wait", 0, (*Talk).queue},
		{"agents", "", "list agents: their load and what they have left", 0, (*Talk).agents},
		{"drain", "AGENT [REASON…]", "have an agent take nothing new", 1, (*Talk).drain},
		{"undrain", "AGENT", "let it take runs again", 1, (*Talk).undrain},
		{"pipelines", "[WORD…]", "list pipelines and how their last runs ended", 0, (*Talk).pipelines},
		{"pipeline", "PIPELINE/RUN", "say what a run of a pipeline has done, and what it asks for", 1, (*Talk).pipeline},
		{"start", "PIPELINE [NAME=VALUE…]", "start a pipeline", 1, (*Talk).start},
		{"approve", "PIPELINE/RUN [STEP]", "say yes to what it asks", 1, (*Talk).approve},
		{"reject", "PIPELINE/RUN [STEP]", "say no to what it asks", 1, (*Talk).reject},
		{"rerun", "PIPELINE/RUN [all]", "run again what failed of a pipeline, or all", 1, (*Talk).rerun},
		{"stop", "PIPELINE/RUN", "end a run of a pipeline, and all that it has triggered", 1, (*Talk).stop},
		{"help", "", "list what can be asked for", 0, (*Talk).help},
	}
}

// Run answers until the input ends, somebody says quit, or ctx ends.
func (t *Talk) Run(ctx context.Context) error {
	t.say("ci in lines. help lists what can be asked for, quit leaves.")
	for ctx.Err() == nil {
		line, ok := t.ask("ci> ")
		words := strings.Fields(line)
		if !ok || len(words) > 0 && (words[0] == "quit" || words[0] == "q" || words[0] == "exit") {
			break
		}
		if len(words) == 0 {
			continue
		}
		if err := t.answer(words); err != nil {
			t.say("That did not work: %s", err)
		}
	}
	return errors.Join(ctx.Err(), t.in.Err())
}

// answer carries out one line. Verbs may be cut short where that is clear.
func (t *Talk) answer(words []string) error {
	var found []verb
	for _, v := range verbs() {
		if v.name == words[0] {
			found = []verb{v}
			break
		}
		if strings.HasPrefix(v.name, words[0]) {
			found = append(found, v)
		}
	}
	switch {
	case len(found) == 0:
		return fmt.Errorf("%q is not known; help lists what is", words[0])
	case len(found) > 1:
		return fmt.Errorf("%q may be %s or %s", words[0], found[0].name, found[1].name)
	case len(words)-1 < found[0].least:
		return fmt.Errorf("usage: %s %s", found[0].name, found[0].args)
	}
	return found[0].do(t, words[1:])
}

// say prints a line of foreign text.
func (t *Talk) say(format string, args ...any) {
	fmt.Fprintln(t.out, terminal.CleanLines(fmt.Sprintf(format, args...)))
}

func (t *Talk) ask(question string) (string, bool) {
	fmt.Fprint(t.out, question)
	ok := t.in.Scan()
	return t.in.Text(), ok
}

// sure asks a yes-or-no question.
func (t *Talk) sure(question string) bool {
	fmt.Fprint(t.out, terminal.CleanLines(question)+" y or n: ")
	return t.in.Scan() && strings.HasPrefix(strings.ToLower(strings.TrimSpace(t.in.Text())), "y")
}

// did waits for something that was asked for and says what came of it.
func (t *Talk) did(cmd tea.Cmd) error {
	a, ok := cmd().(feed.Acted)
	if !ok {
		return context.Canceled
	}
	if a.Err == nil {
		t.say("%s", a.Said)
	}
	return a.Err
}

func (t *Talk) help([]string) error {
	for _, v := range verbs() {
		t.say("%s: %s.", strings.TrimSpace(v.name+" "+v.args), v.help)
	}
	t.say("quit: leave.")
	return nil
}

// ref reads JOB/RUN.
func ref(s string) (ci.RunRef, error) {
	job, id, _ := strings.Cut(s, "/")
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil || job == "" {
		return ci.RunRef{}, fmt.Errorf("%q is not a run; an example is unit-test/12", s)
	}
	return ci.RunRef{Job: job, Run: int64(n)}, nil
}

// holds says whether all words are in a text.
func holds(text string, words []string) bool {
	text = strings.ToLower(text)
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, strings.ToLower(w)) })
}

// maxListed is how many runs are read out.
const maxListed = 30

func (t *Talk) runs(words []string) error {
	s, err := t.feed.Look()
	if err != nil {
		return err
	}
	n := 0
	for i := range s.Runs {
		if line := t.runLine(&s.Runs[i]); holds(line, words) && n < maxListed {
			n++
			t.say("%s", line)
		}
	}
	if n == 0 {
		t.say("No runs.")
	}
	return nil
}

// runLine says what there is to know of a run in a line, the most important first.
func (t *Talk) runLine(r *ci.Run) string {
	parts := []string{stateOf(r) + " " + ci.RunRef{Job: r.Job, Run: r.ID}.String()}
	if r.BranchName != "" {
		parts = append(parts, "branch "+r.BranchName)
	}
	if r.CommitSHA != "" {
		parts = append(parts, "commit "+r.CommitSHA[:min(8, len(r.CommitSHA))])
	}
	return strings.Join(append(parts, terminal.Age(t.now(), r.Times.Triggered)), ", ")
}

func stateOf(r *ci.Run) string {
	if r.Done() {
		return string(r.Outcome)
	}
	return string(r.Phase)
}

func (t *Talk) details(arg string) (feed.Details, error) {
	r, err := ref(arg)
	if err != nil {
		return feed.Details{}, err
	}
	d, ok := t.feed.Details(r)().(feed.Details)
	if !ok {
		return d, context.Canceled
	}
	return d, d.Err
}

func (t *Talk) run(args []string) error {
	d, err := t.details(args[0])
	if err != nil {
		return err
	}
	r := d.Run
	t.say("%s", t.runLine(r))
	if r.Reason != "" {
		t.say("Reason: %s", r.Reason)
	}
	if r.ExitCode != nil {
		t.say("Exit code: %d", *r.ExitCode)
	}
	times := []time.Time{r.Times.Triggered, r.Times.Queued, r.Times.Claimed, r.Times.Started, r.Times.Collecting, r.Times.Done}
	for i, p := range ci.Phases {
		if times[i].IsZero() {
			continue
		}
		end := t.now()
		for _, e := range times[i+1:] {
			if !e.IsZero() {
				end = e
				break
			}
		}
		t.say("Phase %s: %s", p, terminal.Duration(max(0, end.Sub(times[i]))))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Parameters)) {
		t.say("Parameter %s: %s", name, r.Parameters[name])
	}
	if r.Parent != nil {
		t.say("Parent: %s", r.Parent)
	}
	for i := range d.Children {
		t.say("Child: %s", t.runLine(&d.Children[i]))
	}
	for _, res := range d.Results {
		t.say("Result %s: %s, %s", res.Name, ci.Bytes(res.Size), res.ContentType)
	}
	if d.Queue != nil {
		t.say("Waits: %s", d.Queue.Reason)
	}
	return nil
}
