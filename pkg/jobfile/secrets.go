package jobfile

import (
	"regexp"

	"ci/pkg/ci"
)

var (
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	reservedEnv = regexp.MustCompile(`^CI(_|$)`)
)

// env reads the names of the secrets that the script gets.
func (c *checker) env(at place, v *node) {
	if v.kind != list {
		c.wrong(v, "a list of names, for example [NPM_TOKEN]")
		return
	}
	if len(v.items) > MaxEnv {
		c.fault(at, "has %d names; at most %d are allowed", len(v.items), MaxEnv)
		return
	}
	there := map[string]bool{}
	for _, item := range v.items {
		switch {
		case item.kind != text:
			c.wrong(item, "the name of a secret; its value is never in this file")
			continue
		case !envName.MatchString(item.text) || len(item.text) > ci.MaxNameLen:
			c.fault(item.at, "%s is not a secret's name; it must match [A-Za-z_][A-Za-z0-9_]*, and have at most %d letters", quote(item.text), ci.MaxNameLen)
		case reservedEnv.MatchString(item.text):
			c.fault(item.at, "%s is reserved; CI and names that begin with CI_ are set by the system", quote(item.text))
		case there[item.text]:
			c.fault(item.at, "%s is there twice; keep one", quote(item.text))
		}
		there[item.text] = true
		c.spec.Env = append(c.spec.Env, item.text)
	}
}

// ssh reads whether the job's SSH key is forwarded.
func (c *checker) ssh(at place, v *node) {
	if c.flag(&c.spec.SSH)(at, v); c.spec.SSH && !c.git {
		c.fault(at, "there is no SSH key to forward: it belongs to a job's repository (git.sshKey), and a freestyle job has none; remove the key")
	}
}
