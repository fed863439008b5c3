package jobfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ci/pkg/ci"
)

// checker reads a document into a spec and collects what is wrong with it.
type checker struct {
	spec ci.Spec
	// git says whether the job has a repository.
	git bool
	// read reads a further file of the repository; nil where none is at hand.
	read ReadFile
	// failed is why the repository could not be asked; then nothing is known of the file.
	failed  error
	spoken  int               // bytes of text in services, see room
	reads   int               // of further files
	fetched map[string][]byte // further files that were read; nil for an optional one that is not there
	faults  []fault
	notes   notes
	files   int // read so far, for the order of faults
}

// nextFile is what the places of one more file begin at, behind those of all
// files before it.
func (c *checker) nextFile() int {
	c.files++
	return c.files << 40
}

type fault struct {
	at      place
	message string
}

func (c *checker) fault(at place, format string, args ...any) {
	c.faults = append(c.faults, fault{at, fmt.Sprintf(format, args...)})
}

// wrong is the fault of a value of the wrong type.
func (c *checker) wrong(n *node, expected string) {
	if n.kind == broken {
		return
	}
	c.fault(n.at, "found %s; expected %s", n.found(), expected)
}

// fields returns the faults in the document's order, each once: what an alias
// stands for is checked at every use, but stands at one place.
func (c *checker) fields() []ci.Field {
	slices.SortStableFunc(c.faults, func(a, b fault) int { return cmp.Compare(a.at.order, b.at.order) })
	fields := make([]ci.Field, 0, len(c.faults))
	seen := map[fault]bool{}
	for _, f := range c.faults {
		if !seen[f] {
			seen[f] = true
			fields = append(fields, ci.Field{Path: f.at.name, Message: f.message})
		}
	}
	return fields
}

// key is one known key of a mapping, and what reads its value.
type key struct {
	name string
	read func(at place, v *node)
}

// object reads a mapping whose keys are all known.
func (c *checker) object(n *node, keys ...key) {
	if n.kind != mapping {
		c.wrong(n, "a mapping with the keys "+names(keys))
		return
	}
	for _, p := range n.pairs {
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == p.key })
		if i < 0 {
			c.fault(p.at, "unknown key %s; %s", code(p.key), suggest(p.key, keys))
			continue
		}
		keys[i].read(p.at, p.value)
	}
}

func names(keys []key) string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.name
	}
	return strings.Join(all, ", ")
}

// text reads a text into to, when check finds nothing wrong with it. check
// returns what is wrong, and what would be right.
func (c *checker) text(to *string, expected string, check func(string) string) func(place, *node) {
	return func(_ place, v *node) {
		if v.kind != text {
			if v.kind == number || v.kind == boolean {
				expected += `, in quotes ("` + clip(v.text) + `")`
			}
			c.wrong(v, expected)
			return
		}
		if problem := check(v.text); problem != "" {
			c.fault(v.at, "%s", problem)
			return
		}
		*to = v.text
	}
}

// flag reads true or false into to.
func (c *checker) flag(to *bool) func(place, *node) {
	return func(_ place, v *node) {
		if v.kind != boolean {
			c.wrong(v, "true or false")
			return
		}
		*to = v.bool
	}
}

// integer reads a whole number from low to high.
func (c *checker) integer(low, high int64, to func(int64)) func(place, *node) {
	return func(_ place, v *node) {
		n := int64(v.num)
		if v.kind != number || float64(n) != v.num || n < low || n > high {
			c.wrong(v, fmt.Sprintf("a whole number from %d to %d", low, high))
			return
		}
		to(n)
	}
}
