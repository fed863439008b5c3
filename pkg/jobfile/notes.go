package jobfile

import (
	"fmt"
	"slices"
	"strings"
)

// maxNotes bounds the lines that a file can bring to the console.
const maxNotes = 64

// notes gathers what a file asks for and a run does without: one sentence a
// key, however many services have it.
type notes struct {
	order []string            // sentences' beginnings
	who   map[string][]string // the services of each
	why   map[string]string
}

// add notes that a key of a service has no effect.
func (n *notes) add(where, who, why string) {
	if n.who == nil {
		n.who, n.why = map[string][]string{}, map[string]string{}
	}
	key := where + "\x00" + why
	if _, ok := n.who[key]; !ok {
		n.order = append(n.order, key)
		n.why[key] = why
	}
	if who != "" && !slices.Contains(n.who[key], who) {
		n.who[key] = append(n.who[key], who)
	}
}

// sentences are the notes for the console.
func (n *notes) sentences() []string {
	var all []string
	for _, key := range n.order {
		if len(all) == maxNotes {
			return append(all, fmt.Sprintf("and %d more notes on the file", len(n.order)-maxNotes))
		}
		where, _, _ := strings.Cut(key, "\x00")
		if who := n.who[key]; len(who) > 0 {
			where += " of " + strings.Join(who, ", ")
		}
		all = append(all, where+": "+n.why[key])
	}
	return all
}
