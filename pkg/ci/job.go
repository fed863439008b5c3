package ci

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Job is what may not vary with a branch: a name, where its runs come from,
// and the parameters that they take. Exactly one of Git and Freestyle is set.
type Job struct {
	Name string
	// Git says which repository and file describe the runs.
	Git *Git
	// Freestyle is the job file itself, as the JSON document that was put;
	// pkg/jobfile parses it. Empty for a git job.
	Freestyle []byte
	// Parameters are the inputs of a run, in the order people see them.
	Parameters []Parameter
	// Triggers are the jobs that its runs may trigger, when their job file says ci: true.
	Triggers []string
	// Owner says who keeps this job as code; "" for nobody. Programs that apply
	// files delete no job of another owner.
	Owner string
	// Keep is what the job keeps of its done runs: a kind that it speaks of takes
	// the place of the configuration's. nil leaves all to the configuration.
	Keep *Keep
	// Version grows with each replace; it is the job's ETag. The first is 1.
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Git is where a git job's runs come from.
type Git struct {
	// URL is https://, ssh://, or user@host:path; http:// and git:// only for allowed hosts.
	URL string
	// ConfigPath is the job file's path in the repository, with slashes.
	ConfigPath string
	// SSHKey names the key pair of the backend that the repository accepts; "" for none.
	SSHKey string
}

// Parameter is one input of a job. The script finds it in its environment
// under the same name.
type Parameter struct {
	Name        string
	Default     string
	Required    bool
	Description string
}

// Limits of a job's words, in bytes unless said otherwise.
const (
	MaxNameLen        = 100
	MaxParameters     = 64
	MaxTriggers       = 100
	MaxParameterValue = 32 << 10
	MaxDescription    = 1 << 10
)

var (
	jobName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// ValidateName says whether name can be a job's, a result's, a key's or an agent's name.
func ValidateName(name string) error {
	var f faults
	checkName(&f, "name", name)
	return f.err("the name")
}

func checkName(f *faults, path, name string) {
	switch {
	case name == "":
		f.add(path, "is missing; use letters, digits, '.', '_' and '-'")
	case len(name) > MaxNameLen:
		f.add(path, "has %d bytes; at most %d are allowed", len(name), MaxNameLen)
	case !jobName.MatchString(name):
		f.add(path, "%q must begin with a letter or digit and hold only letters, digits, '.', '_' and '-'", name)
	}
}

func checkEnvName(f *faults, path, name string) {
	switch {
	case !envName.MatchString(name):
		f.add(path, "%q must match [A-Za-z_][A-Za-z0-9_]*", name)
	case len(name) > MaxNameLen:
		f.add(path, "has %d bytes; at most %d are allowed", len(name), MaxNameLen)
	case name == "CI" || strings.HasPrefix(name, "CI_"):
		f.add(path, "%q is reserved; CI and names that begin with CI_ are set by the system", name)
	}
}

// Validate checks everything but the contents of Freestyle, which pkg/jobfile
// parses, and the policy on git hosts, which backend/source decides.
func (j *Job) Validate() error {
	var f faults
	checkName(&f, "name", j.Name)
	switch {
	case j.Git == nil && len(j.Freestyle) == 0:
		f.add("git", "exactly one of git and freestyle is needed; neither is there")
	case j.Git != nil && len(j.Freestyle) > 0:
		f.add("git", "exactly one of git and freestyle is needed; both are there")
	case j.Git != nil:
		j.Git.check(&f)
	}
	checkParameters(&f, j.Parameters)
	checkTriggers(&f, j.Triggers)
	if j.Owner != "" {
		checkName(&f, "owner", j.Owner)
	}
	checkKeep(&f, "keep", j.Keep, true)
	return f.err("the job")
}

// HasParameter says whether the job has an input of that name.
func (j *Job) HasParameter(name string) bool {
	return slices.ContainsFunc(j.Parameters, func(p Parameter) bool { return p.Name == name })
}

func (g *Git) check(f *faults) {
	if g.URL == "" {
		f.add("git.url", "is missing; an example is https://host/path.git")
	}
	checkText(f, "git.url", g.URL, 2<<10)
	if g.ConfigPath == "" {
		f.add("git.configPath", "is missing; it names the job file in the repository, for example ci/test.yaml")
	} else if err := CheckRepoPath(g.ConfigPath); err != "" {
		f.add("git.configPath", "%q %s", g.ConfigPath, err)
	}
	if g.SSHKey != "" {
		checkName(f, "git.sshKey", g.SSHKey)
	}
}

// CheckRepoPath returns what is wrong with the path of a file inside a
// repository, to follow its name in a sentence, or "".
func CheckRepoPath(p string) string {
	if len(p) > 1024 {
		return "is longer than 1024 bytes"
	}
	if strings.HasPrefix(p, "/") {
		return "must be relative to the repository's root"
	}
	if strings.ContainsAny(p, "\x00\n\r\\:") || !clean(p) {
		return "must not hold control characters, backslashes or colons"
	}
	for _, part := range strings.Split(p, "/") {
		if part == "" || part == "." || part == ".." {
			return "must not hold empty, '.' or '..' parts"
		}
	}
	return ""
}

func checkTriggers(f *faults, jobs []string) {
	if len(jobs) > MaxTriggers {
		f.add("triggers", "has %d entries; at most %d are allowed", len(jobs), MaxTriggers)
	}
	for i, j := range jobs {
		checkName(f, path("triggers", i), j)
	}
}

func checkParameters(f *faults, ps []Parameter) {
	if len(ps) > MaxParameters {
		f.add("parameters", "has %d entries; at most %d are allowed", len(ps), MaxParameters)
	}
	seen := map[string]bool{}
	for i, p := range ps {
		at := path("parameters", i)
		checkEnvName(f, at+".name", p.Name)
		if seen[p.Name] {
			f.add(at+".name", "%q is there twice", p.Name)
		}
		seen[p.Name] = true
		checkText(f, at+".default", p.Default, MaxParameterValue)
		checkText(f, at+".description", p.Description, MaxDescription)
	}
}
