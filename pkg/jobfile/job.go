package jobfile

import (
	"strings"

	"ci/pkg/ci"
)

// job reads the whole document.
func (c *checker) job(root *node) {
	s := &c.spec
	s.Environment.Workdir = ci.DefaultWorkdir
	s.Resources = ci.Resources{CPUs: ci.DefaultCPUs, Memory: ci.DefaultMemory, Pids: ci.DefaultPids}
	if c.git {
		s.Git.Depth = DefaultDepth
	}
	script := false
	var services, compose *pair
	c.object(root,
		key{"script", func(at place, v *node) {
			script = true
			c.text(&s.Script, "the script as text", checkScript)(at, v)
		}},
		key{"environment", c.environment},
		key{"services", func(at place, v *node) { services = &pair{"services", at, v} }},
		key{"compose", func(at place, v *node) { compose = &pair{"compose", at, v} }},
		key{"env", c.env},
		key{"ssh", c.ssh},
		key{"ci", c.flag(&s.CI)},
		key{"timeout", c.duration(minTimeout, maxTimeout, "1s to 168h (7 days)", &s.Timeout)},
		key{"stop_grace_period", c.duration(minTimeout, ci.MaxAbortGrace, "1s to 10m", &s.StopGrace)},
		key{"resources", c.resources},
		key{"git", c.checkout},
		key{"results", c.results},
	)
	c.sidecars(services, compose)
	if !script && root.kind == mapping {
		c.fault(root.at, "the key `script` is missing; it holds what the job runs, for example `script: make test`")
	}
}

// DefaultDepth is how many commits of history a checkout has.
const DefaultDepth = 1

func checkScript(s string) string {
	switch {
	case strings.TrimSpace(s) == "":
		return "the script is empty; write what the job runs, for example `make test`"
	case strings.ContainsRune(s, 0):
		return "the script holds a NUL character, which no shell can read"
	}
	return ""
}

func (c *checker) checkout(at place, v *node) {
	if !c.git {
		c.fault(at, "a freestyle job has no repository, so it has no checkout to set up; remove the key")
		return
	}
	c.object(v,
		key{"depth", c.integer(0, maxDepthOfHistory, func(n int64) { c.spec.Git.Depth = int(n) })},
		key{"submodules", c.flag(&c.spec.Git.Submodules)},
	)
}

const maxDepthOfHistory = 1_000_000
