package webhook

import (
	"context"
	"fmt"

	"ci/gh/event"
	"ci/pkg/ci"
)

// matter is one delivery in hand, with what was found out about it.
type matter struct {
	*Inbox
	hook   *ci.Webhook
	forge  *ci.ForgeAccess
	event  event.Event
	server server
	notes  []string

	approver *ci.Person
	files    *changes // nil until asked
}

// changes are the files of an event.
type changes struct {
	files []string
	whole bool // there are no others
}

func (m *matter) note(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

// maxLine is how many runs of a commit or a line are looked at.
const maxLine = 100

// settle fills in what comes of the matter.
func (m *matter) settle(ctx context.Context, s *ci.Settlement) error {
	triggers, err := m.Records.ForgeTriggers(ctx, m.forge.Name, m.event.Repository, m.event.FullName)
	if err != nil {
		return err
	}
	if len(triggers) == 0 {
		m.note("Nothing: no trigger is for %s.", m.event.FullName)
		return nil
	}
	s.Pins = map[string]int64{}
	for _, t := range triggers {
		if t.RepositoryID == 0 {
			s.Pins[t.Name] = m.event.Repository
		}
	}
	if m.event.Wish != "" {
		return m.wished(ctx, s, triggers)
	}
	if m.event.Closed {
		return m.closed(ctx, s, triggers)
	}
	return m.start(ctx, s, triggers)
}

// wished does what a person asks for, who must have write access: it is asked
// by number, since a name can be anybody's tomorrow.
func (m *matter) wished(ctx context.Context, s *ci.Settlement, triggers []ci.EventTrigger) error {
	if !m.commandable(triggers) {
		m.note("Nothing: no trigger for %s listens to comments.", m.event.FullName)
		return nil
	}
	may, err := m.server.mayWrite(ctx, m.event.Sender)
	if err != nil {
		return err
	}
	if !may {
		m.note("Nothing: %s (%d) has no write access to %s.", m.event.Sender.Login, m.event.Sender.ID, m.event.FullName)
		return nil
	}
	switch {
	case m.event.Kind == ci.EventCheckRerun && m.event.Wish == event.WishAbort:
		return m.abortOne(ctx, s)
	case m.event.Kind == ci.EventCheckRerun && m.event.Wish == event.WishRerun:
		return m.rerun(ctx, s, triggers)
	}
	return m.onPull(ctx, s, triggers)
}

// commandable says whether a comment means anything here. A check's action does always.
func (m *matter) commandable(triggers []ci.EventTrigger) bool {
	if m.event.Kind != ci.EventComment {
		return true
	}
	for _, t := range triggers {
		if t.Listens(ci.EventComment) {
			return true
		}
	}
	return false
}

// abortOne asks for the end of the run whose check somebody used.
func (m *matter) abortOne(ctx context.Context, s *ci.Settlement) error {
	run, err := m.ours(ctx, m.event.Run)
	if err != nil || run == nil {
		return err
	}
	ref := ci.RunRef{Job: run.Job, Run: run.ID}
	s.Aborts = append(s.Aborts, ci.Abortion{Run: ref, By: m.person()})
	m.note("Run %s is to end.", ref)
	return nil
}

func (m *matter) person() string { return m.forge.Name + ":" + m.event.Sender.Login }

// ours returns a run of this repository, or nil and a note: a check's number
// is text that whoever may write checks could have chosen.
func (m *matter) ours(ctx context.Context, id int64) (*ci.Run, error) {
	run, err := m.Records.GetRun(ctx, "", id)
	if ci.CodeOf(err) == ci.CodeNotFound {
		m.note("Nothing: run %d is not there any more.", id)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if run.Origin == nil || run.Origin.Forge != m.forge.Name || run.Origin.Repository != m.event.Repository {
		m.note("Nothing: run %d is not of %s.", id, m.event.FullName)
		return nil, nil
	}
	return run, nil
}

// rerun starts again what one check, or all of a commit, showed.
func (m *matter) rerun(ctx context.Context, s *ci.Settlement, triggers []ci.EventTrigger) error {
	var runs []ci.Run
	if m.event.Run != 0 {
		run, err := m.ours(ctx, m.event.Run)
		if err != nil || run == nil {
			return err
		}
		runs = []ci.Run{*run}
	} else {
		list, err := m.Records.RunsOfHead(ctx, (&ci.Origin{Forge: m.forge.Name, Repository: m.event.Repository}).Repo(), m.event.HeadSHA, maxLine)
		if err != nil {
			return err
		}
		runs = newest(list)
	}
	for k := range runs {
		m.rerunOne(s, triggers, &runs[k])
	}
	if len(runs) == 0 {
		m.note("Nothing: no run is known at %s.", m.event.HeadSHA)
	}
	return nil
}

// newest returns of each trigger the newest run; list begins at the newest. Runs
// that somebody started by hand of a fork's commit have no trigger.
func newest(list []ci.Run) (first []ci.Run) {
	seen := map[string]bool{}
	for _, r := range list {
		if r.Origin != nil && r.Origin.Trigger != "" && !seen[r.Origin.Line()] {
			seen[r.Origin.Line()] = true
			first = append(first, r)
		}
	}
	return first
}

// rerunOne asks for a run of the same commit, by the same rules as the first:
// who approved it then did so for this commit.
func (m *matter) rerunOne(s *ci.Settlement, triggers []ci.EventTrigger, run *ci.Run) {
	for k := range triggers {
		t := &triggers[k]
		if t.Name != run.Origin.Trigger {
			continue
		}
		if !t.Listens(ci.EventCheckRerun) {
			m.note("Trigger %s does not listen to check_rerun.", t.Name)
			return
		}
		o := *run.Origin
		o.Event, o.Webhook, o.Seq, o.Sender, o.FullName = ci.EventCheckRerun, m.hook.ID, m.hook.Seq, m.event.Sender, m.event.FullName
		if m.event.Installation != 0 {
			o.Installation = m.event.Installation
		}
		m.trigger(s, t, &o)
		return
	}
	m.note("Run %d is of trigger %s, which is not there any more.", run.ID, run.Origin.Trigger)
}

// onPull carries out a command on a pull request, or the approval of a check.
func (m *matter) onPull(ctx context.Context, s *ci.Settlement, triggers []ci.EventTrigger) error {
	wish, wanted := m.event.Wish, m.event.HeadSHA
	if wish == event.WishApprove && m.event.Kind == ci.EventCheckRerun {
		if err := m.heldPull(ctx); err != nil || m.event.Pull == 0 {
			return err
		}
	}
	open, err := m.server.pull(ctx, &m.event)
	if err != nil {
		return err
	}
	if !open && wish != event.WishAbort {
		m.note("Nothing: pull request %d is closed.", m.event.Pull)
		return nil
	}
	switch wish {
	case event.WishAbort:
		return m.abortPull(ctx, s, triggers)
	case event.WishApprove:
		// The person names the commit that they have seen, and all of its id: who
		// wrote it can make another one that begins alike. The head may have moved since.
		if !ci.ValidCommit(wanted) {
			m.note("Nothing: %s approved %q, which is not a whole commit id: write /ci approve %s.", m.event.Sender.Login, wanted, m.event.HeadSHA)
			return nil
		}
		if m.event.HeadSHA != wanted {
			m.note("Nothing: %s approved %s, and the head of pull request %d is %s.", m.event.Sender.Login, wanted, m.event.Pull, m.event.HeadSHA)
			return nil
		}
		m.approver = &m.event.Sender
	}
	return m.start(ctx, s, triggers)
}

// heldPull finds the pull request of a commit whose check waits for approval.
func (m *matter) heldPull(ctx context.Context) error {
	number, err := m.server.pullOf(ctx, m.event.HeadSHA)
	if err != nil {
		return err
	}
	if number == 0 {
		m.note("Nothing: %s is the head of no open pull request any more.", m.event.HeadSHA)
	}
	m.event.Pull = number
	return nil
}

// abortPull ends what runs for a pull request.
func (m *matter) abortPull(ctx context.Context, s *ci.Settlement, triggers []ci.EventTrigger) error {
	for k := range triggers {
		if m.event.Only != "" && m.event.Only != triggers[k].Name {
			continue
		}
		if err := m.abortLine(ctx, s, &triggers[k], m.person()); err != nil {
			return err
		}
	}
	m.note("%d runs are to end.", len(s.Aborts))
	return nil
}

// abortLine asks for the end of the runs in progress of a trigger's line.
func (m *matter) abortLine(ctx context.Context, s *ci.Settlement, t *ci.EventTrigger, by string) error {
	o := m.origin(t)
	list, err := m.Records.RunsOfLine(ctx, o.Repo(), o.Line(), maxLine)
	for k := range list {
		if r := &list[k]; !r.Done() {
			s.Aborts = append(s.Aborts, ci.Abortion{Run: ci.RunRef{Job: r.Job, Run: r.ID}, By: by})
		}
	}
	return err
}

// closed ends what runs for a pull request that was closed, where its trigger
// says that older runs may be superseded.
func (m *matter) closed(ctx context.Context, s *ci.Settlement, triggers []ci.EventTrigger) error {
	for k := range triggers {
		if t := &triggers[k]; t.Supersede && t.Listens(ci.EventPullRequest) {
			if err := m.abortLine(ctx, s, t, "the pull request's end"); err != nil {
				return err
			}
		}
	}
	m.note("Pull request %d was closed; %d runs are to end.", m.event.Pull, len(s.Aborts))
	return nil
}
