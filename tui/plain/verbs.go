package plain

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ci/pkg/ci"
	"ci/pkg/junit"
	"ci/pkg/terminal"
	"ci/tui/feed"
)

// lines keeps the last lines that are written to it.
type lines struct {
	most int
	all  []string
	part []byte
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 {
			l.part = l.part[max(0, len(l.part)-maxLine):]
			return len(p), nil
		}
		l.all = append(l.all, string(l.part[:i]))
		l.all = l.all[max(0, len(l.all)-l.most):]
		l.part = l.part[i+1:]
	}
}

func (t *Talk) log(args []string) error {
	r, err := ref(args[0])
	if err != nil {
		return err
	}
	last := &lines{most: 40}
	if len(args) > 1 {
		if last.most, err = strconv.Atoi(args[1]); err != nil || last.most < 1 || last.most > 100_000 {
			return fmt.Errorf("%q is not a number of lines from 1 to 100000", args[1])
		}
	}
	if err := t.feed.Printed(r, terminal.NewFilter(last, false)); err != nil {
		return err
	}
	if len(last.part) > 0 {
		_, _ = last.Write([]byte("\n")) // it takes all
	}
	for _, l := range last.all {
		t.say("%s", strings.TrimRight(l, "\r"))
	}
	return nil
}

// follow prints a console as it grows. What breaks off goes on by itself.
func (t *Talk) follow(args []string) error {
	r, err := ref(args[0])
	if err != nil {
		return err
	}
	stream := t.feed.Console(r, terminal.NewFilter(t.out, false))
	defer stream.Close()
	next := stream.Next()
	for {
		m, ok := next().(feed.ConsoleGrew)
		switch {
		case !ok:
			return context.Canceled
		case m.Over && m.Err != nil:
			return m.Err
		case m.Over:
			return t.run(args)
		case m.Err != nil:
			t.say("The server is away, trying again: %s", m.Err)
			next = stream.Later(m.Again)
		default:
			next = stream.Next()
		}
	}
}

func (t *Talk) tests(args []string) error {
	d, err := t.details(args[0])
	if err != nil {
		return err
	}
	for _, r := range d.Results {
		if !feed.HoldsTests(r) {
			continue
		}
		m, ok := t.feed.Tests(d.Ref, r)().(feed.TestsLoaded)
		if !ok || m.Err != nil {
			return m.Err
		}
		s := m.Report.Summary()
		t.say("Result %s: %d tests, %d failed, %d errored, %d skipped, %d passed.", r.Name, s.Total(), s.Failed, s.Errored, s.Skipped, s.Passed)
		for _, c := range m.Report.Unsuccessful() {
			t.testCase(c)
		}
		return nil
	}
	t.say("No result holds JUnit reports.")
	return nil
}

func (t *Talk) testCase(c junit.Case) {
	t.say("%s: %s", c.Status, strings.TrimSpace(c.Class+" "+c.Name))
	if c.Message != "" {
		t.say("  %s", c.Message)
	}
	if c.Details != "" {
		t.say("%s", c.Details)
	}
}

func (t *Talk) get(args []string) error {
	d, err := t.details(args[0])
	if err != nil {
		return err
	}
	for _, r := range d.Results {
		if r.Name != args[1] {
			continue
		}
		path := terminal.FileName(r.Filename, r.Name)
		if len(args) > 2 {
			path = args[2]
		}
		return t.did(t.feed.Save(d.Ref, r, path))
	}
	return fmt.Errorf("the run has no result %s", args[1])
}

func (t *Talk) jobs(words []string) error {
	s, err := t.feed.Look()
	if err != nil {
		return err
	}
	for i := range s.Jobs {
		j := &s.Jobs[i]
		line := j.Name + ", never ran"
		for k := range s.Runs {
			if s.Runs[k].Job == j.Name {
				line = j.Name + ", last run " + t.runLine(&s.Runs[k])
				break
			}
		}
		if holds(line, words) {
			t.say("%s", line)
		}
	}
	if len(s.Jobs) == 0 {
		t.say("No jobs.")
	}
	return nil
}

func (t *Talk) trigger(args []string) error {
	run := ci.Trigger{Job: args[0], Parameters: map[string]string{}}
	for _, a := range args[1:] {
		name, value, ok := strings.Cut(a, "=")
		switch {
		case !ok:
			return fmt.Errorf("%q is not NAME=VALUE", a)
		case name == "branch":
			run.BranchName = value
		case name == "commit":
			run.CommitSHA = value
		default:
			run.Parameters[name] = value
		}
	}
	return t.did(t.feed.Trigger(run))
}

func (t *Talk) again(args []string) error {
	d, err := t.details(args[0])
	if err != nil {
		return err
	}
	run := ci.Trigger{Job: d.Run.Job, CommitSHA: d.Run.CommitSHA, Parameters: maps.Clone(d.Run.Parameters), Priority: d.Run.Priority}
	if run.CommitSHA == "" {
		run.BranchName = d.Run.BranchName
	}
	if !t.sure("Run " + d.Run.Job + " again?") {
		return nil
	}
	return t.did(t.feed.Trigger(run))
}

func (t *Talk) abort(args []string) error {
	r, err := ref(args[0])
	if err != nil || !t.sure("Abort "+args[0]+"?") {
		return err
	}
	return t.did(t.feed.Abort(r))
}

func (t *Talk) why(args []string) error {
	r, err := ref(args[0])
	if err != nil {
		return err
	}
	m, ok := t.feed.Explain(r)().(feed.Explained)
	if !ok || m.Err != nil {
		return m.Err
	}
	t.say("%s", m.Report.Reason)
	for _, a := range m.Report.Agents {
		if a.Eligible {
			t.say("Agent %s would take it.", a.Agent)
		} else {
			t.say("Agent %s refuses: %s", a.Agent, a.Reason)
		}
	}
	return nil
}

func (t *Talk) queue([]string) error {
	s, err := t.feed.Look()
	if err != nil {
		return err
	}
	n := 0
	for _, q := range s.Queues {
		if q.Queued > 0 {
			n++
			t.say("%d in %s, the oldest since %s.", q.Queued, q.Lane, terminal.Duration(max(0, t.now().Sub(q.Oldest))))
		}
	}
	if n == 0 {
		t.say("Nothing waits.")
	}
	return nil
}

func (t *Talk) agents([]string) error {
	s, err := t.feed.Look()
	if err != nil {
		return err
	}
	if why := s.Denied["agents"]; why != "" {
		return fmt.Errorf("%s", why)
	}
	for i := range s.Agents {
		a := &s.Agents[i]
		t.say("%s, %s, CPU %.0f percent, %.4g of %.4g cores free, %s of %s memory free, %d runs, seen %s.", a.ID, mood(a), a.CPULoad*100,
			a.FreeCPUs, a.CPUs, ci.Bytes(a.FreeMemory), ci.Bytes(a.Memory), len(a.Runs), terminal.Age(t.now(), a.SeenAt))
		for _, class := range slices.Sorted(maps.Keys(a.Refusals)) {
			t.say("  refuses class %s: %s", class, a.Refusals[class])
		}
		for _, w := range a.Warnings {
			t.say("  warning: %s", w)
		}
	}
	if len(s.Agents) == 0 {
		t.say("No agent has ever been here.")
	}
	return nil
}

// mood is how an agent is, in a word or its own sentence.
func mood(a *ci.Agent) string {
	switch {
	case a.Problem != "":
		return "unable: " + a.Problem
	case a.Draining:
		return "draining"
	}
	return "ready"
}

func (t *Talk) drain(args []string) error {
	if !t.sure("Drain " + args[0] + "? It takes nothing new then.") {
		return nil
	}
	return t.did(t.feed.Drain(args[0], ci.Drain{Reason: strings.Join(args[1:], " ")}))
}

func (t *Talk) undrain(args []string) error { return t.did(t.feed.Undrain(args[0])) }
