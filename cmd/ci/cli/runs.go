package cli

import (
	"fmt"
	"strconv"

	"ci/pkg/ci"
)

// runColumns are what a list of runs shows to people.
func (a *app) runColumns() []column[ci.Run] {
	now := a.Now()
	return []column[ci.Run]{
		{"RUN", func(r ci.Run) string { return refOf(&r).String() }, func(ci.Run) style { return bold }},
		{"STATE", func(r ci.Run) string { return state(&r) }, func(r ci.Run) style { return stateStyle(&r) }},
		{"BRANCH", func(r ci.Run) string { return r.BranchName }, nil},
		{"COMMIT", func(r ci.Run) string { return shortSHA(r.CommitSHA) }, nil},
		{"TRIGGERED", func(r ci.Run) string { return age(now, r.Times.Triggered) }, nil},
		{"TOOK", func(r ci.Run) string { return tookText(&r, now) }, nil},
		{"REASON", func(r ci.Run) string { return r.Reason }, func(ci.Run) style { return dim }},
	}
}

// runPiped are the columns of a run in a pipe. Others' scripts rely on them:
// new ones come at the end.
func runPiped() []column[ci.Run] {
	return []column[ci.Run]{
		{"id", func(r ci.Run) string { return strconv.FormatInt(r.ID, 10) }, nil},
		{"job", func(r ci.Run) string { return r.Job }, nil},
		{"status", func(r ci.Run) string { return string(r.Status) }, nil},
		{"phase", func(r ci.Run) string { return string(r.Phase) }, nil},
		{"outcome", func(r ci.Run) string { return string(r.Outcome) }, nil},
		{"exit code", func(r ci.Run) string { return exitStatus(&r) }, nil},
		{"branch", func(r ci.Run) string { return r.BranchName }, nil},
		{"commit", func(r ci.Run) string { return r.CommitSHA }, nil},
		{"triggered", func(r ci.Run) string { return stamp(r.Times.Triggered) }, nil},
		{"done", func(r ci.Run) string { return stamp(r.Times.Done) }, nil},
		{"reason", func(r ci.Run) string { return r.Reason }, nil},
	}
}

func exitStatus(r *ci.Run) string {
	if r.ExitCode == nil {
		return ""
	}
	return fmt.Sprint(*r.ExitCode)
}

// printRun prints one run in a pipe's columns. A terminal has been told by progress.
func (a *app) printRun(r *ci.Run) {
	if !a.OutTTY {
		printTable(a, []ci.Run{*r}, nil, runPiped())
	}
}
