package jobfile

import "regexp"

// Keys that the job file has and this version does not carry out. They are
// known, so that nobody is told of a typing error, and refused, so that no job
// runs without what it asks for.

func (c *checker) notYet(at place, what string) {
	c.fault(at, "not yet: this version of the server can't %s; remove the key", what)
}

// later refuses a key whatever its value.
func (c *checker) later(what string) func(place, *node) {
	return func(at place, _ *node) { c.notYet(at, what) }
}

// laterFlag refuses true.
func (c *checker) laterFlag(what string) func(place, *node) {
	return func(at place, v *node) {
		var on bool
		if c.flag(&on)(at, v); on {
			c.notYet(at, what)
		}
	}
}

func (c *checker) services(at place, v *node) {
	switch {
	case v.kind != mapping:
		c.wrong(v, "a mapping from names to services")
	case len(v.pairs) > MaxServices:
		c.fault(at, "has %d services; at most %d are allowed", len(v.pairs), MaxServices)
	case len(v.pairs) > 0:
		c.notYet(at, "start services")
	}
}

var (
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	reservedEnv = regexp.MustCompile(`^CI(_|$)`)
)

func (c *checker) env(at place, v *node) {
	if v.kind != list {
		c.wrong(v, "a list of names, for example [NPM_TOKEN]")
		return
	}
	if len(v.items) > MaxEnv {
		c.fault(at, "has %d names; at most %d are allowed", len(v.items), MaxEnv)
	}
	for _, item := range v.items {
		switch {
		case item.kind != text:
			c.wrong(item, "the name of a secret; its value is never in this file")
		case !envName.MatchString(item.text):
			c.fault(item.at, "%s must match [A-Za-z_][A-Za-z0-9_]*", quote(item.text))
		case reservedEnv.MatchString(item.text):
			c.fault(item.at, "%s is reserved; CI and names that begin with CI_ are set by the system", quote(item.text))
		}
	}
	if len(v.items) > 0 {
		c.notYet(at, "give a script secrets")
	}
}
