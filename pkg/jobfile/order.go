package jobfile

import (
	"maps"
	"slices"
	"strings"

	"ci/pkg/ci"
)

// sameNames finds names on the run's network that two services want.
func (c *checker) sameNames(all []sidecar) {
	owners := map[string]string{}
	for _, s := range all {
		if _, ok := owners[s.Name]; ok {
			c.fault(s.at, "the service %s is both in the job file and in the Compose file; rename one", code(s.Name))
		}
		owners[s.Name] = s.Name
	}
	for _, s := range all {
		for _, alias := range s.Aliases {
			if owner, ok := owners[alias]; ok && owner != s.Name {
				c.fault(s.at, "service %s: its further name %s is a service's own", code(s.Name), code(alias))
			}
		}
	}
}

// inOrder puts every service behind those that it depends on, and else leaves them as the file has them.
func (c *checker) inOrder(all []sidecar) []ci.Service {
	o := &ordering{c: c, by: map[string]*sidecar{}, state: map[string]int{}}
	for i := range all {
		o.by[all[i].Name] = &all[i]
	}
	for i := range all {
		o.visit(&all[i])
	}
	return o.done
}

const (
	unseen = iota
	visiting
	visited
)

type ordering struct {
	c     *checker
	by    map[string]*sidecar
	state map[string]int
	way   []string
	done  []ci.Service
}

func (o *ordering) visit(s *sidecar) {
	if o.state[s.Name] != unseen {
		return
	}
	o.state[s.Name] = visiting
	o.way = append(o.way, s.Name)
	for _, name := range slices.Sorted(maps.Keys(s.deps)) {
		next := o.by[name]
		if next == nil {
			continue // has faults of its own
		}
		if o.state[name] == visiting {
			circle := append(slices.Clone(o.way[slices.Index(o.way, name):]), name)
			o.c.fault(s.deps[name], "`depends_on`: services wait for each other, so none can start: %s", show(strings.Join(circle, " → ")))
			continue
		}
		o.visit(next)
	}
	o.way = o.way[:len(o.way)-1]
	o.state[s.Name] = visited
	o.done = append(o.done, s.Service)
}
