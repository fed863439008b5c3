package cli

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

// latest stands for the newest run of a job.
const latest = "@latest"

// refHelp is how verbs say what a RUN is.
const refHelp = "RUN is JOB/ID, JOB#ID, JOB@latest for a job's newest run, JOB@BRANCH for the newest of a branch, or an id alone; " +
	"--commit REV stands for the newest run of a commit of this working tree."

func refOf(r *ci.Run) ci.RunRef { return ci.RunRef{Job: r.Job, Run: r.ID} }

// target names a run as the user typed it: by its id, or as the newest of a
// job, of its branch or of a commit.
type target struct {
	job    string // "" is any
	id     int64  // 0 is the newest
	branch string
	commit string
}

// selecting says whether an argument can follow a job to name one of its runs.
func selecting(arg string) bool {
	return strings.HasPrefix(arg, "@") || strings.HasPrefix(arg, "#") || isNumber(arg)
}

func isNumber(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// parseRef reads the run that args begin with and returns what follows.
func parseRef(args []string) (target, []string, error) {
	if len(args) == 0 {
		return target{}, nil, usagef("which run? Give JOB/ID, JOB@BRANCH, JOB%s, or an id", latest)
	}
	first, rest := args[0], args[1:]
	paired := len(rest) > 0 && selecting(rest[0])
	if number := strings.TrimPrefix(first, "#"); isNumber(number) && !paired {
		t, err := target{}.selected(number)
		return t, rest, err
	}
	job, selector := first, ""
	if i := strings.IndexAny(first, "@/#"); i >= 0 {
		job, selector = first[:i], strings.TrimPrefix(first[i:], "/")
	} else if len(rest) > 0 {
		selector, rest = rest[0], rest[1:]
	}
	if err := ci.ValidateName(job); err != nil {
		return target{}, nil, usagef("%q is not a job's name", job)
	}
	if selector == "" {
		return target{}, nil, usagef("which run of %s? Give its id, or %s for the newest", job, latest)
	}
	t, err := target{job: job}.selected(selector)
	return t, rest, err
}

// selected is t with the run that a selector names: an id, @latest or @BRANCH.
func (t target) selected(selector string) (target, error) {
	if branch, ok := strings.CutPrefix(selector, "@"); ok {
		switch {
		case selector == latest:
		case !ci.ValidBranch(branch):
			return t, usagef("%q is neither %s nor a branch", selector, latest)
		default:
			t.branch = branch
		}
		return t, nil
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(selector, "#"), 10, 32)
	if err != nil || id <= 0 {
		return t, usagef("%q is not a run's id; expected a number, %s or @BRANCH", selector, latest)
	}
	t.id = id
	return t, nil
}

// parseRefs reads any number of runs. Numbers alone are ids here.
func parseRefs(args []string) ([]target, error) {
	var all []target
	for len(args) > 0 {
		n := len(args)
		if isNumber(args[0]) {
			n = 1
		}
		t, rest, err := parseRef(args[:n])
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		args = append(rest, args[n:]...)
	}
	return all, nil
}

// takesRun makes cmd one that names a run in its arguments, followed by up to
// more others. With --commit, or where the user can be asked, it may be missing.
func (a *app) takesRun(cmd *cobra.Command, more int) *cobra.Command {
	a.commitFlag(cmd)
	cmd.Long += "\n\n" + refHelp
	cmd.Args = func(_ *cobra.Command, args []string) error {
		_, rest, err := a.target(args)
		if err == nil && len(rest) > more {
			err = usagef("%q is one argument too many", rest[more])
		}
		if err != nil && len(args) <= 1 && !isSelected(args) && a.mayAsk() {
			return nil
		}
		return err
	}
	return cmd
}

// isSelected says whether an argument alone tries to name a run.
func isSelected(args []string) bool { return len(args) == 1 && strings.ContainsAny(args[0], "@/#") }

func (a *app) commitFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&a.commit, "commit", "c", "", "the newest run of this commit: a `rev` of the working tree, or a full id")
}

// target reads the run that is meant from the arguments and --commit.
func (a *app) target(args []string) (target, []string, error) {
	if a.commit == "" {
		return parseRef(args)
	}
	t := target{commit: a.commit}
	if len(args) > 0 {
		if err := ci.ValidateName(args[0]); err != nil {
			return t, nil, usagef("with --commit only a job's name can be given, not %q", args[0])
		}
		t.job, args = args[0], args[1:]
	}
	return t, args, nil
}

// openRun reads args, opens the API and finds the run.
func (a *app) openRun(ctx context.Context, args []string) (Client, ci.RunRef, []string, error) {
	c, err := a.client()
	if err != nil {
		return nil, ci.RunRef{}, nil, err
	}
	t, rest, err := a.target(args)
	if err != nil && len(args) <= 1 && a.mayAsk() {
		ref, err := a.pickRun(ctx, c, args)
		return c, ref, nil, err
	}
	if err != nil {
		return nil, ci.RunRef{}, nil, err
	}
	ref, err := a.find(ctx, c, t)
	return c, ref, rest, err
}

// openRuns is openRun for several.
func (a *app) openRuns(ctx context.Context, args []string) (Client, []ci.RunRef, error) {
	if a.commit != "" || len(args) == 0 {
		c, ref, rest, err := a.openRun(ctx, args)
		if err == nil && len(rest) > 0 {
			err = usagef("%q is one argument too many beside --commit", rest[0])
		}
		return c, []ci.RunRef{ref}, err
	}
	targets, err := parseRefs(args)
	if err != nil {
		return nil, nil, err
	}
	c, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	refs := make([]ci.RunRef, 0, len(targets))
	for _, t := range targets {
		ref, err := a.find(ctx, c, t)
		if err != nil {
			return nil, nil, err
		}
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return c, refs, nil
}

// takesRuns makes cmd one that names any number of runs.
func (a *app) takesRuns(cmd *cobra.Command) *cobra.Command {
	a.commitFlag(cmd)
	cmd.Long += "\n\n" + refHelp
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if a.commit != "" || (len(args) == 0 && a.mayAsk()) {
			return nil
		}
		if len(args) == 0 {
			_, _, err := parseRef(args)
			return err
		}
		_, err := parseRefs(args)
		return err
	}
	return cmd
}

// find asks the server for the run that t names.
func (a *app) find(ctx context.Context, c Client, t target) (ci.RunRef, error) {
	if t.job != "" && t.id != 0 {
		return ci.RunRef{Job: t.job, Run: t.id}, nil
	}
	if t.id != 0 {
		run, err := c.FindRun(ctx, t.id)
		if err != nil {
			return ci.RunRef{}, err
		}
		return refOf(run), nil
	}
	sha, err := a.resolveCommit(ctx, t.commit)
	if err != nil {
		return ci.RunRef{}, err
	}
	t.commit = sha
	found, err := newest(ctx, c, t)
	if err == nil && found.Run == 0 {
		err = t.none()
	}
	return found, err
}

// none says that the run is not there.
func (t target) none() error {
	switch {
	case t.commit != "":
		return ci.Errorf(ci.CodeNotFound, "commit %s has no run yet; `ci watch --commit %s` waits for one", shortSHA(t.commit), t.commit)
	case t.branch != "":
		return ci.Errorf(ci.CodeNotFound, "job %s has no run of branch %s; `ci run %s --branch %s` starts one", t.job, t.branch, t.job, t.branch)
	}
	return ci.Errorf(ci.CodeNotFound, "job %s has no runs yet; `ci run %s` starts one", t.job, t.job)
}

// newest is the newest run of a job, branch or commit; without an id when there
// is none. A commit that several jobs ran does not say which one is meant.
func newest(ctx context.Context, c Client, t target) (ci.RunRef, error) {
	var found ci.RunRef
	var others []string
	n := 0
	for run, err := range c.ListRuns(ctx, ci.RunFilter{Job: t.job, BranchName: t.branch, CommitSHA: t.commit}) {
		if err != nil {
			return ci.RunRef{}, err
		}
		if n++; found.Run == 0 {
			found = refOf(&run)
		} else if run.Job != found.Job && !slices.Contains(others, run.Job) {
			others = append(others, run.Job)
		}
		if t.job != "" || n == 100 {
			break
		}
	}
	if len(others) > 0 {
		return ci.RunRef{}, usagef("commit %s was run by several jobs: %s; name the one that is meant", shortSHA(t.commit), strings.Join(append([]string{found.Job}, others...), ", "))
	}
	return found, nil
}

// resolveCommit makes a full commit id of a revision of the working tree, such
// as HEAD or the first digits of an id. "" stays so.
func (a *app) resolveCommit(ctx context.Context, rev string) (string, error) {
	if rev == "" || ci.ValidCommit(rev) {
		return rev, nil
	}
	if isHex(rev) && len(rev) >= 40 || strings.HasPrefix(rev, "-") {
		return "", usagef("%q is not a full commit id: 40 (or 64) lower-case hexadecimal digits", rev)
	}
	git := exec.CommandContext(ctx, "git", "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	git.Dir = a.dir
	out, err := git.Output()
	sha := strings.TrimSpace(string(out))
	if err != nil || !ci.ValidCommit(sha) {
		return "", usagef("%q is not a full commit id, and git knows no such commit in this folder", rev)
	}
	return sha, nil
}

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) })
}

// runLabels are how a picker shows runs.
func (a *app) runLabels(runs []ci.Run) []string {
	labels := make([]string, len(runs))
	for i := range runs {
		r := &runs[i]
		labels[i] = clean(fmt.Sprintf("%-24s %-11s %-20s %s", refOf(r), state(r), r.BranchName, age(a.Now(), r.Times.Triggered)))
	}
	return labels
}
