// Package trigger asks for what a run needs, and triggers it.
package trigger

import (
	"fmt"
	"maps"
	"slices"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/google/uuid"

	"ci/pkg/ci"
	"ci/tui/screen"
	"ci/tui/widget"
)

// Names of the form's own fields; a parameter can't be called so.
const (
	branchField   = "branch"
	commitField   = "commit"
	priorityField = "priority"
)

// Form asks for a run of a job; like, unless nil, is a run whose values it begins with.
func Form(w *screen.World, j *ci.Job, like *ci.Run) tea.Cmd {
	f := &screen.Form{Title: "Run " + j.Name}
	if j.Git != nil {
		branch := "main"
		if like != nil {
			branch = like.BranchName
		}
		f.Fields = append(f.Fields, screen.Text(branchField, branch, "the newest commit of this branch, unless a commit is given"))
		commit := ""
		if like != nil && like.BranchName == "" {
			commit = like.CommitSHA
		}
		f.Fields = append(f.Fields, screen.Text(commitField, commit, "exactly this commit: 40 hexadecimal digits"))
	}
	for _, p := range j.Parameters {
		value := p.Default
		if like != nil {
			if v, ok := like.Parameters[p.Name]; ok {
				value = v
			}
		}
		field := screen.Text(p.Name, value, hint(p))
		field.Required = p.Required
		f.Fields = append(f.Fields, field)
	}
	f.Fields = append(f.Fields, screen.Field{
		Name: priorityField, Hint: "urgent runs of a class come before its normal ones; ← → change",
		Choices: []string{string(ci.PriorityNormal), string(ci.PriorityUrgent)},
	})
	// One key for the form: sent twice, it is one run.
	key := uuid.NewString()
	f.Done = func(a map[string]string) tea.Cmd { return w.Feed.Trigger(read(j, a, key)) }
	return screen.Send(screen.Ask{Form: f})
}

func hint(p ci.Parameter) string {
	switch {
	case p.Description != "":
		return p.Description
	case p.Required:
		return "this parameter is required"
	}
	return fmt.Sprintf("default %q", p.Default)
}

// read makes the trigger of the answers.
func read(j *ci.Job, a map[string]string, key string) ci.Trigger {
	t := ci.Trigger{
		Job: j.Name, CommitSHA: a[commitField], Priority: ci.Priority(a[priorityField]), IdempotencyKey: key, Parameters: map[string]string{},
	}
	if t.CommitSHA == "" {
		t.BranchName = a[branchField]
	}
	for _, p := range j.Parameters {
		t.Parameters[p.Name] = a[p.Name]
	}
	return t
}

// Again asks whether a run shall be repeated: the same job, commit and parameters.
func Again(w *screen.World, r *ci.Run) tea.Cmd {
	at := ""
	t := ci.Trigger{Job: r.Job, Parameters: maps.Clone(r.Parameters), Priority: r.Priority, IdempotencyKey: uuid.NewString()}
	switch {
	case r.CommitSHA != "":
		t.CommitSHA, at = r.CommitSHA, " at commit "+r.CommitSHA[:min(12, len(r.CommitSHA))]
	case r.BranchName != "":
		t.BranchName, at = r.BranchName, " of branch "+r.BranchName
	}
	question := fmt.Sprintf("Run %s again%s?", r.Job, at)
	for _, name := range slices.Sorted(maps.Keys(r.Parameters)) {
		question += "\n" + name + "=" + widget.Fit(r.Parameters[name], 40)
	}
	return screen.Send(screen.Confirm{Question: question, Yes: w.Feed.Trigger(t)})
}
