package jobfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ci/pkg/ci"
)

// pruner judges values of a Compose document, key by key, and returns what is
// left of them: only taken keys, with variables replaced. Faults stand where
// the file has them.
type pruner struct {
	c    *checker
	file string // what notes call the file
	// inline: the services stand in the job file, which has no variables.
	inline   bool
	expander *expander
	who      string // whose keys these are, for sentences: "service `db`"
	short    string // the same for notes: "db"
}

// prune returns what is left of n, which stands at path below its owner.
func (p *pruner) prune(path string, n *node, s *shape) *node {
	switch n.kind {
	case broken:
		if n.text != "" {
			p.c.fault(n.at, "%s", n.text)
		}
	case text:
		return p.text(n)
	case list:
		return p.list(path, n, s)
	case mapping:
		return p.mapping(path, n, s)
	}
	return n
}

// maxSpoken is how much text the services of a run may hold, in bytes, with all
// aliases, variables and files of variables. A spec is stored with its run.
const maxSpoken = 1 << 20

// room says whether n more bytes of text fit, and is at fault at the first that do not.
func (c *checker) room(n int, at place) bool {
	before := c.spoken
	c.spoken += n
	if before <= maxSpoken && c.spoken > maxSpoken {
		c.fault(at, "the services up to here hold more than %s of text, with all aliases, variables and files of variables", ci.Bytes(maxSpoken))
	}
	return c.spoken <= maxSpoken
}

// spoken is how many bytes of text a value holds.
func spoken(n *node) int {
	sum := len(n.text)
	for _, item := range n.items {
		sum += spoken(item)
	}
	for _, p := range n.pairs {
		sum += len(p.key) + spoken(p.value)
	}
	return sum
}

func (p *pruner) text(n *node) *node {
	if !p.c.room(len(n.text), n.at) {
		return &node{kind: broken, at: n.at, size: 1}
	}
	if !strings.Contains(n.text, "$") {
		return n
	}
	out, missing, problem := p.expander.expand(n.text)
	switch {
	case problem != "":
		p.c.fault(n.at, "%s", problem)
		return &node{kind: broken, at: n.at, size: 1}
	case len(missing) > 0 && p.inline:
		p.c.fault(n.at, "the variable %s has no value: services in a job file see no environment; write $$%s for a dollar sign, or ${%s:-default}", show(missing[0]), show(missing[0]), show(missing[0]))
		return &node{kind: broken, at: n.at, size: 1}
	case len(missing) > 0:
		for _, name := range missing {
			p.c.notes.add(fmt.Sprintf("%s: the variable %s", p.file, show(name)), "", "it has no value, and is empty; a run reads the file .env beside the file, and nobody's environment")
		}
	}
	return &node{kind: text, at: n.at, text: out, size: 1}
}

func (p *pruner) list(path string, n *node, s *shape) *node {
	left := &node{kind: list, at: n.at, size: 1}
	for i, item := range n.items {
		left.items = append(left.items, p.prune(path+"["+strconv.Itoa(i)+"]", item, s.inside()))
	}
	return left
}

// inside is the shape of what a list or an open mapping holds.
func (s *shape) inside() *shape {
	switch {
	case s == nil:
		return nil
	case s.each != nil:
		return s.each
	case s.keys != nil:
		return s
	}
	return nil
}

func (p *pruner) mapping(path string, n *node, s *shape) *node {
	left := &node{kind: mapping, at: n.at, size: 1}
	for _, e := range n.pairs {
		if !p.c.room(len(e.key), e.at) {
			break
		}
		if s == nil || s.keys == nil {
			left.pairs = append(left.pairs, pair{e.key, e.at, p.prune(below(path, e.key), e.value, s.inside())})
			continue
		}
		if v := p.entry(below(path, e.key), e, s.keys); v != nil {
			left.pairs = append(left.pairs, pair{e.key, e.at, v})
		}
	}
	return left
}

// below is the path of a key.
func below(path, key string) string {
	if path == "" {
		return show(key)
	}
	return path + "." + show(key)
}

// entry judges one key. It returns nil for one that is not taken.
func (p *pruner) entry(path string, e pair, known rules) *node {
	if strings.HasPrefix(e.key, "x-") {
		return nil
	}
	r, ok := known[e.key]
	switch {
	case !ok:
		p.c.fault(e.at, "%sthe key %s is not one of Compose's; %s", p.of(), code(path), known.like(e.key))
	case r.class == silent:
	case r.class == noted:
		if asks(e.value) {
			p.c.notes.add(fmt.Sprintf("%s: `%s`", p.file, path), p.short, "has no effect; "+r.why)
		}
	case r.class == refused:
		if asks(e.value) {
			p.c.fault(e.at, "%s`%s` is refused: it %s", p.of(), path, r.why)
		}
	case r.flag:
		return p.flag(path, p.prune(path, e.value, nil))
	default:
		return p.prune(path, e.value, r.in)
	}
	return nil
}

// of begins a sentence about a key.
func (p *pruner) of() string {
	if p.who == "" {
		return ""
	}
	return p.who + ": "
}

// asks says whether a value asks for anything: nothing, false and what is
// empty do not.
func asks(n *node) bool {
	switch n.kind {
	case null:
		return false
	case boolean:
		return n.bool
	case text:
		return n.text != "" && n.text != "false"
	case list:
		return len(n.items) > 0
	case mapping:
		return len(n.pairs) > 0
	}
	return true
}

// flag reads true and false where variables made texts of them.
func (p *pruner) flag(path string, n *node) *node {
	if n.kind == text && (n.text == "true" || n.text == "false") {
		return &node{kind: boolean, at: n.at, bool: n.text == "true", text: n.text, size: 1}
	}
	if n.kind != boolean && n.kind != null && n.kind != broken {
		p.c.fault(n.at, "%s`%s` is %s; expected true or false", p.of(), path, n.found())
		return &node{kind: broken, at: n.at, size: 1}
	}
	return n
}

// like says what may be meant by a key that nobody knows.
func (r rules) like(name string) string {
	if known := r.list(); len(known) <= maxKnown || nearest(name, known) != "" {
		return suggestName(name, known)
	}
	return "remove it, or begin its name with x- if it is the project's own"
}

// list is the rules' keys in the checker's form, in order.
func (r rules) list() []key {
	all := make([]key, 0, len(r))
	for name := range r {
		all = append(all, key{name: name})
	}
	slices.SortFunc(all, func(a, b key) int { return strings.Compare(a.name, b.name) })
	return all
}

// find returns the node below n that path leads to: keys of mappings, indexes
// of lists. Where the path leaves the tree, it is the last one that is there.
func find(n *node, at place, path ...string) place {
	for _, step := range path {
		next, where := child(n, step)
		if next == nil {
			return at
		}
		n, at = next, where
	}
	return at
}

func has(n *node, key string) bool {
	v, _ := child(n, key)
	return v != nil
}

// child is a value below n, and the place that people look for: a key's, or an item's.
func child(n *node, step string) (*node, place) {
	switch n.kind {
	case mapping:
		for _, e := range n.pairs {
			if e.key == step {
				return e.value, e.at
			}
		}
	case list:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.items) {
			return n.items[i], n.items[i].at
		}
	}
	return nil, place{}
}
