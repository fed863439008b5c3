package jobfile

import (
	"errors"
	"fmt"
	"path"

	"ci/pkg/ci"
)

// ReadFile returns a file of the repository, at the commit that is read, by its
// path from the root. ci.CodeNotFound says that it is not there, ci.CodeInvalid
// that it can't be taken; every other error means that nobody could be asked.
type ReadFile = func(path string) ([]byte, error)

// maxFetched is how many further files a job file may name; the planner may
// have to ask a git server for each.
const maxFetched = 48

// fetch reads a further file. A fault goes to at, and begins with what. It returns nil for one that
// can't be had, and for one that is not there if it is optional.
func (c *checker) fetch(file, what string, at place, optional bool) []byte {
	if c.failed != nil {
		return nil
	}
	if c.read == nil {
		c.fault(at, "%s%s can't be read: no repository is at hand", what, show(file))
		return nil
	}
	if data, ok := c.fetched[file]; ok && (data != nil || optional) {
		return data
	}
	if c.reads++; c.reads > maxFetched {
		c.fault(at, "%sthe file %s is one too many; a job file and what it names may name %d", what, show(file), maxFetched)
		return nil
	}
	data, err := c.read(file)
	switch code := ci.CodeOf(err); {
	case err == nil:
		c.keep(file, append([]byte{}, data...)) // not nil, though it may be empty
		return c.fetched[file]
	case code == ci.CodeNotFound && optional:
		c.keep(file, nil)
	case code == ci.CodeNotFound || code == ci.CodeInvalid:
		c.fault(at, "%s%s", what, sentence(err))
	default:
		c.failed = err
	}
	return nil
}

// keep remembers a file, which several services may name.
func (c *checker) keep(file string, data []byte) {
	if c.fetched == nil {
		c.fetched = map[string][]byte{}
	}
	c.fetched[file] = data
}

// sentence is what an error says to people.
func sentence(err error) string {
	var e *ci.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// openCompose reads a Compose file. It returns nil after a fault that leaves nothing to judge.
func (c *checker) openCompose(file string, at place) *composer {
	data := c.fetch(file, "`compose.file`: ", at, false)
	if data == nil {
		return nil
	}
	root := readCompose(c, file, data)
	if root == nil {
		return nil
	}
	k := &composer{
		dir: path.Dir(file), pruned: map[string]*node{}, bad: map[string]bool{}, named: map[string]bool{}, extra: map[string][]string{},
		pruner: pruner{c: c, file: file},
	}
	k.expander = newExpander(c.dotEnv(path.Join(k.dir, ".env"), at))
	if root.kind != mapping {
		c.wrong(root, "a Compose file, which is a mapping with the key `services`")
		return nil
	}
	for _, e := range root.pairs {
		k.top(e)
	}
	if k.services == nil && k.include != nil {
		k.entry("include", *k.include, fileRules)
		return nil
	}
	if k.services == nil {
		c.fault(root.at, "%s has no `services`; the first version of Compose files is not read, put the services below that key", file)
		return nil
	}
	if k.services.kind != mapping {
		c.wrong(k.services, "a mapping from names to services")
		return nil
	}
	return k
}

// top judges a key of the top level. What services may
// make use of is judged when they do, and other files when they may be needed.
func (k *composer) top(e pair) {
	switch e.key {
	case "services":
		k.services = e.value
	case "volumes":
		k.volumes = e.value
	case "networks":
		k.networks = e.value
	case "include":
		k.include = &e
	default:
		k.entry(e.key, e, fileRules)
	}
}

// dotEnv is the project's variables: Compose's own .env beside the Compose
// file, as it is in the repository. It is read when the first variable is met.
func (c *checker) dotEnv(file string, at place) lookup {
	var vars map[string]string
	return func(name string) (string, bool) {
		if vars == nil {
			vars = map[string]string{}
			if data := c.fetch(file, "", at, true); data != nil {
				c.variables(file, data, vars, func(string) (string, bool) { return "", false })
			}
		}
		v, ok := vars[name]
		return v, ok
	}
}

// variables reads a file of variables into vars. Faults have the file's lines.
func (c *checker) variables(file string, data []byte, vars map[string]string, outer lookup) {
	base := c.nextFile()
	at := func(offset int) place {
		line, column := lineColumn(data, offset)
		return place{fmt.Sprintf("%s:%d:%d", file, line, column), base + line<<20 + min(column, 1<<20-1)}
	}
	if !checkInput(c, at, data) {
		return
	}
	if line, err := envFile(string(data), vars, outer); err != nil {
		c.fault(place{fmt.Sprintf("%s:%d:1", file, line), base + line<<20}, "%v", err)
	}
}
