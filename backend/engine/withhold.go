package engine

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"ci/pkg/ci"
)

// planned is where a run's job file is read: the commit, a branch, or the
// branch that a fork's commit is to be merged into.
func planned(run *ci.Run) (sha, branch string) {
	switch {
	case run.Origin != nil && run.Origin.ConfigBranch != "":
		return "", run.Origin.ConfigBranch
	case run.CommitSHA != "":
		return run.CommitSHA, ""
	}
	return "", run.BranchName
}

// originOf is where a run comes from that somebody triggers. It is what the
// trigger says, but for a commit that a fork has brought and nobody with write
// access has: then the run comes from that fork, whoever asks for it, and
// whichever job of the repository it is of. Else "run again" would give a
// stranger's commit what its first run did not get.
func (e *Engine) originOf(ctx context.Context, job *ci.Job, t ci.Trigger) (*ci.Origin, error) {
	if t.Origin != nil || job.Git == nil || t.CommitSHA == "" {
		return t.Origin, nil
	}
	known, err := e.Store.CommitOrigins(ctx, t.CommitSHA)
	if err != nil {
		return nil, err
	}
	brought := map[string]bool{} // repositories that have the commit from their own people
	for i := range known {
		if c := &known[i]; !c.Fork {
			brought[c.Repo] = true
		}
	}
	var found *ci.Origin
	for i := range known {
		c := &known[i]
		if !c.Fork || brought[c.Repo] || !ofRepository(job.Git.URL, c) {
			continue
		}
		o := *c.Origin
		if c.Job == job.Name {
			return &o, nil
		}
		if found == nil {
			o.Trigger = "" // it is not the run that the trigger's check is about
			found = &o
		}
	}
	return found, nil
}

// ofRepository says whether a fork's commit was brought to the repository at a git
// URL, which may be written in several ways.
func ofRepository(gitURL string, c *ci.CommitOrigin) bool {
	path := repositoryPath(gitURL)
	return c.Git != nil && repositoryPath(c.Git.URL) == path || path == strings.ToLower(c.Origin.FullName) ||
		strings.HasSuffix(path, "/"+strings.ToLower(c.Origin.FullName))
}

// repositoryPath is what URLs of one repository have in common, by https and by
// ssh: the path in lower case, without what git leaves out.
func repositoryPath(gitURL string) string {
	path := gitURL
	if u, err := url.Parse(gitURL); err == nil && u.Host != "" {
		path = u.Path
	} else if _, after, ok := strings.Cut(gitURL, ":"); ok { // user@host:path
		path = after
	}
	return strings.TrimSuffix(strings.Trim(strings.ToLower(path), "/"), ".git")
}

// withhold takes everything confidential out of the job file of a run whose
// commit comes from a fork: whoever wrote it may be anybody. The script finds
// neither the secrets' variables nor an SSH agent nor a token. Who carries the
// run out reads this, so nothing can give it what is not there.
func withhold(run *ci.Run, spec *ci.Spec) {
	if !run.Origin.Withheld() {
		return
	}
	var missing []string
	if len(spec.Env) > 0 {
		missing = append(missing, "the secrets "+strings.Join(spec.Env, ", "))
	}
	if spec.SSH {
		missing = append(missing, "the SSH agent")
	}
	if spec.CI {
		missing = append(missing, "CI_TOKEN")
	}
	if len(missing) > 0 {
		spec.Notes = append(spec.Notes, "This commit comes from a fork, so the script does not get "+strings.Join(missing, ", ")+".")
	}
	if run.Git != nil {
		spec.Notes = append(spec.Notes, knownFrom(run.Origin))
	}
	spec.Env, spec.SSH, spec.CI = nil, false, false
}

// knownFrom says why a commit is taken for a fork's and what follows, and what to do
// where it is none: strangers can open pull requests of commits that are not theirs.
func knownFrom(o *ci.Origin) string {
	text := fmt.Sprintf("The commit is known from pull request %d of %s alone, which comes from a fork", o.Pull, o.FullName)
	if o.ConfigBranch != "" {
		text += ", so the job file is that of branch " + o.ConfigBranch
	}
	return text + ". If it is the repository's own: start the branch that it is on, or push it there."
}

// foreignBuild says whether a run carries out a Dockerfile that anybody may
// have written: it could copy an image that only our accounts can pull into
// what it prints.
func foreignBuild(run *ci.Run) bool {
	if !run.Origin.Withheld() || run.Spec == nil {
		return false
	}
	if run.Spec.Environment.Build != nil {
		return true
	}
	for _, s := range run.Spec.Services {
		if s.Build != nil {
			return true
		}
	}
	return false
}
