package webhook

import (
	"context"
	"fmt"

	"ci/gh/event"
	"ci/pkg/ci"
)

// start asks for a run of each trigger that takes the event.
func (m *matter) start(ctx context.Context, s *ci.Settlement, triggers []ci.EventTrigger) error {
	for k := range triggers {
		if err := m.startOne(ctx, s, &triggers[k]); err != nil {
			return err
		}
	}
	return nil
}

func (m *matter) startOne(ctx context.Context, s *ci.Settlement, t *ci.EventTrigger) error {
	if why := m.event.Refuses(t); why != "" {
		m.note("Trigger %s %s.", t.Name, why)
		return nil
	}
	if err := m.findCommit(ctx); err != nil {
		return err
	}
	if len(t.Paths) > 0 {
		taken, err := m.touches(ctx, t.Paths)
		if err != nil {
			return err
		}
		if !taken {
			m.note("Trigger %s takes none of the changed files.", t.Name)
			return nil
		}
	}
	o := m.origin(t)
	if m.event.Fork {
		if may, err := m.forked(ctx, s, t, o); err != nil || !may {
			return err
		}
	}
	return m.superseding(ctx, s, t, o)
}

// findCommit looks up the commit of an event that does not say it.
func (m *matter) findCommit(ctx context.Context) (err error) {
	if m.event.HeadSHA == "" {
		m.event.HeadSHA, err = m.server.commit(ctx, m.event.Tag)
	}
	return err
}

// touches says whether a trigger takes one of the changed files. Where not all
// of them are known it does: one run too many is better than one too few.
func (m *matter) touches(ctx context.Context, globs []string) (bool, error) {
	if m.files == nil {
		files, whole, err := m.server.changed(ctx, &m.event)
		if err != nil {
			return false, err
		}
		m.files = &changes{files, whole}
	}
	return !m.files.whole || event.AnyAccepted(globs, m.files.files), nil
}

// origin is what a run of the trigger would come of.
func (m *matter) origin(t *ci.EventTrigger) *ci.Origin {
	e := &m.event
	return &ci.Origin{
		Forge: m.forge.Name, Trigger: t.Name, Event: e.Kind, Webhook: m.hook.ID, Seq: m.hook.Seq,
		Installation: e.Installation, Repository: e.Repository, FullName: e.FullName,
		HeadSHA: e.HeadSHA, Ref: e.Ref, Branch: e.Branch, Base: e.Base, Tag: e.Tag, Pull: e.Pull, Fork: e.Fork,
		Sender: e.Sender,
	}
}

// forked applies the trigger's policy to a commit of a fork, and says whether
// it may run. Whatever it says, the run will get nothing confidential.
func (m *matter) forked(ctx context.Context, s *ci.Settlement, t *ci.EventTrigger, o *ci.Origin) (bool, error) {
	if t.Forks == ci.ForksNever {
		m.note("Trigger %s runs nothing of forks.", t.Name)
		return false, nil
	}
	approver := m.approver
	if approver == nil {
		var err error
		if approver, err = m.approvedBefore(ctx, o); err != nil {
			return false, err
		}
	}
	switch {
	case approver != nil:
		o.Approver = approver
		return true, nil
	case t.Forks == ci.ForksApproval:
		s.Held = append(s.Held, held(o))
		m.note("Trigger %s waits until somebody with write access approves %s.", t.Name, o.HeadSHA)
		return false, nil
	}
	o.ConfigBranch = o.Base
	return true, nil
}

// approvedBefore returns who let this very commit run for this trigger before.
func (m *matter) approvedBefore(ctx context.Context, o *ci.Origin) (*ci.Person, error) {
	list, err := m.Records.RunsOfHead(ctx, o.Repo(), o.HeadSHA, maxLine)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if r.Origin != nil && r.Origin.Trigger == o.Trigger && r.Origin.Pull == o.Pull && r.Origin.Approver != nil {
			return r.Origin.Approver, nil
		}
	}
	return nil, nil
}

// held is the check of a commit that waits.
func held(o *ci.Origin) ci.OpenCheck {
	return ci.OpenCheck{Origin: *o, Held: &ci.HeldCheck{
		Title: "Waits for approval",
		Summary: fmt.Sprintf("This commit comes from a fork. Somebody with write access has to look at it, at its job file too, and then use **Approve**, or comment\n\n    /ci approve %s\n\n"+
			"The approval is for this commit alone. The run gets no secrets, no SSH agent and no token in any case.", o.HeadSHA),
	}}
}

// superseding asks for the run, and for the end of older ones where the trigger says so.
// Deliveries may be worked off late: one that is older than what runs starts nothing then.
func (m *matter) superseding(ctx context.Context, s *ci.Settlement, t *ci.EventTrigger, o *ci.Origin) error {
	if !t.Supersede {
		m.trigger(s, t, o)
		return nil
	}
	list, err := m.Records.RunsOfLine(ctx, o.Repo(), o.Line(), maxLine)
	if err != nil {
		return err
	}
	for k := range list {
		if r := &list[k]; r.Origin.Seq > o.Seq && r.Origin.HeadSHA != o.HeadSHA {
			m.note("Trigger %s started nothing: run %d is of a newer commit.", t.Name, r.ID)
			return nil
		}
	}
	for k := range list {
		if r := &list[k]; !r.Done() && r.AbortRequestedAt.IsZero() && r.Origin.HeadSHA != o.HeadSHA {
			s.Aborts = append(s.Aborts, ci.Abortion{Run: ci.RunRef{Job: r.Job, Run: r.ID}, By: "a newer commit"})
			m.note("Run %d is superseded.", r.ID)
		}
	}
	m.trigger(s, t, o)
	return nil
}

// trigger asks for one run.
func (m *matter) trigger(s *ci.Settlement, t *ci.EventTrigger, o *ci.Origin) {
	s.Triggers = append(s.Triggers, ci.Trigger{
		Job: t.Job, CommitSHA: o.HeadSHA, BranchName: o.Branch, Parameters: t.Fill(event.Words(o)),
		Priority: t.Priority, By: m.forge.Name + ":" + t.Name, Origin: o, Trace: m.hook.Trace,
	})
	m.note("Trigger %s starts job %s.", t.Name, t.Job)
}
