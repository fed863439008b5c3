package jobfile

import (
	"path"
	"slices"
	"strings"

	"ci/pkg/ci"
)

// composer reads services in Compose's syntax from one place: the job file's
// own, or a Compose file.
type composer struct {
	pruner
	dir      string // the folder that paths are relative to, "." is the root
	services *node
	// volumes and networks are what the file declares; nil in a job file, which declares none.
	volumes, networks *node

	include *pair // other files, which are not read

	pruned map[string]*node // judged services, and those that they extend
	bad    map[string]bool  // those with faults
	chosen []string         // what is started, in the order of being found
	named  map[string]bool  // those of them that the job file itself asks for
	wishes []wish
	result []sidecar
	// extra are further names that links give to services.
	extra map[string][]string
}

// wish is a service that somebody asks for, and where.
type wish struct {
	name string
	at   place
	by   string // the service that needs it; "" for the job file itself
}

// sidecar is a service, and where to look for it.
type sidecar struct {
	ci.Service
	at   place
	deps map[string]place
}

// sidecars reads the services of the job file and those of a Compose file,
// either of which may be nil, into the spec.
func (c *checker) sidecars(services, compose *pair) {
	var inline, file *composer
	if services != nil {
		inline = c.inlineServices(services.value)
	}
	var wanted []wish
	if compose != nil {
		file, wanted = c.composeFile(compose)
	}
	var all []sidecar
	if inline != nil {
		inline.wishAll()
		wanted = append(wanted, inline.run(file)...)
		all = append(all, inline.result...)
	}
	if file != nil {
		file.wishes = append(file.wishes, wanted...)
		file.run(nil)
		all = append(all, file.result...)
	}
	count, at := 0, place{}
	if file != nil {
		count, at = len(file.chosen), compose.at
	}
	if inline != nil {
		count, at = count+len(inline.chosen), services.at
	}
	if count > MaxServices {
		c.fault(at, "has %d services; at most %d are allowed", count, MaxServices)
	}
	c.sameNames(all)
	c.spec.Services = c.inOrder(all)
	c.spec.Notes = append(c.spec.Notes, c.notes.sentences()...)
}

// inlineServices makes a composer of the job file's own services.
func (c *checker) inlineServices(n *node) *composer {
	if n.kind != mapping {
		c.wrong(n, "a mapping from names to services")
		return nil
	}
	none := func(string) (string, bool) { return "", false }
	return &composer{
		services: n, dir: ".", pruned: map[string]*node{}, bad: map[string]bool{}, named: map[string]bool{}, extra: map[string][]string{},
		pruner: pruner{c: c, file: "services", inline: true, expander: newExpander(none)},
	}
}

// wishAll wants every service, but for those that profiles keep for later.
func (k *composer) wishAll() {
	for _, p := range k.services.pairs {
		if strings.HasPrefix(p.key, "x-") && !k.inline {
			continue
		}
		if profiles, _ := child(p.value, "profiles"); profiles != nil && asks(profiles) && !k.inline {
			k.c.notes.add(k.file+": the service "+show(p.key), "", "it has profiles, and is left out; name it in `compose.services` to have it")
			continue
		}
		k.wishes = append(k.wishes, wish{name: p.key, at: p.at})
	}
}

// run judges what is wished for and what that depends on, and reads it. Needs
// that the place does not have are returned if other has them.
func (k *composer) run(other *composer) (elsewhere []wish) {
	for len(k.wishes) > 0 {
		w := k.wishes[0]
		k.wishes = k.wishes[1:]
		switch {
		case slices.Contains(k.chosen, w.name):
		case k.has(w.name):
			k.named[w.name] = k.named[w.name] || w.by == ""
			k.chosen = append(k.chosen, w.name)
			k.judge(w.name, 0)
			k.need(w.name)
		case other.has(w.name):
			elsewhere = append(elsewhere, w)
		default:
			k.unknown(w)
		}
	}
	if len(k.chosen) > MaxServices {
		return nil // which is said when all are counted
	}
	for _, name := range k.chosen {
		k.read(name)
	}
	for i := range k.result {
		s := &k.result[i]
		s.Aliases = append(s.Aliases, k.extra[s.Name]...)
		slices.Sort(s.Aliases)
		s.Aliases = slices.Compact(s.Aliases)
	}
	return elsewhere
}

func (k *composer) has(name string) bool {
	if k == nil {
		return false
	}
	return has(k.services, name)
}

// available says whether a service would be started for one that can do without it.
func (k *composer) available(name string) bool {
	n, _ := child(k.services, name)
	if n == nil {
		return false
	}
	profiles, _ := child(n, "profiles")
	return profiles == nil || !asks(profiles) || k.named[name]
}

// at is where a service's name stands.
func (k *composer) at(name string) place { return find(k.services, k.services.at, name) }

func (k *composer) unknown(w wish) {
	known := make([]key, 0, len(k.services.pairs))
	for _, p := range k.services.pairs {
		known = append(known, key{name: show(p.key)})
	}
	hint := "there are no services"
	if len(known) > 0 {
		hint = suggestName(w.name, known)
	}
	if k.include != nil {
		hint += "; what the file includes is not read"
	}
	if w.by != "" {
		k.c.fault(w.at, "service %s: it needs the service %s, which is not there; %s", code(w.by), code(w.name), hint)
		return
	}
	k.c.fault(w.at, "there is no service %s in %s; %s", code(w.name), k.file, hint)
}

// judge prunes a service and all that it extends.
func (k *composer) judge(name string, depth int) {
	if k.pruned[name] != nil {
		return
	}
	before := len(k.c.faults)
	v, at := child(k.services, name)
	checkServiceName(k.c, at, name)
	k.who, k.short = "service "+code(name), show(name)
	var n *node
	switch v.kind {
	case mapping:
		n = k.prune("", v, &shape{keys: serviceRules})
		n.pairs = k.rework(name, n.pairs)
		if extends, _ := child(v, "extends"); extends != nil && has(extends, "file") {
			n.pairs = slices.DeleteFunc(n.pairs, func(p pair) bool { return p.key == "extends" })
		}
	case null:
		n = &node{kind: mapping, at: v.at, size: 1}
	default:
		if v.kind == broken {
			k.prune("", v, nil)
		} else {
			k.c.wrong(v, "a service, which is a mapping")
		}
		n = &node{kind: mapping, at: v.at, size: 1}
	}
	k.pruned[name] = n
	k.bad[name] = len(k.c.faults) > before
	if base, at := extended(n); base != "" {
		switch {
		case !k.has(base):
			k.unknown(wish{base, at, name})
			k.bad[name] = true
		case depth >= maxExtends:
			k.c.fault(at, "service %s: `extends` leads through more than %d services", code(name), maxExtends)
			k.bad[name] = true
		default:
			k.judge(base, depth+1)
			k.bad[name] = k.bad[name] || k.bad[base]
		}
	}
}

// extended is the service that one extends, and where it says so.
func extended(n *node) (string, place) {
	v, at := child(n, "extends")
	if v == nil {
		return "", at
	}
	if s, where := child(v, "service"); s != nil {
		v, at = s, where
	}
	return v.text, at
}

// maxExtends is how many services one may extend, by way of each other.
const maxExtends = 16

// family are a service and those that it extends, the nearest first.
func (k *composer) family(name string) (names []string, circle bool) {
	for name != "" && k.pruned[name] != nil {
		if slices.Contains(names, name) {
			return names, true
		}
		names = append(names, name)
		name, _ = extended(k.pruned[name])
	}
	return names, false
}

// need wishes for what a service depends on.
func (k *composer) need(name string) {
	for dep, at := range k.dependencies(name) {
		k.wishes = append(k.wishes, wish{dep, at, name})
	}
	slices.SortStableFunc(k.wishes, func(a, b wish) int { return a.at.order - b.at.order })
}

// dependencies are the names under a service's depends_on and links, and where they stand.
func (k *composer) dependencies(name string) map[string]place {
	deps := map[string]place{}
	names, _ := k.family(name)
	for _, member := range names {
		if v, _ := child(k.pruned[member], "depends_on"); v != nil {
			for _, item := range v.items {
				deps[item.text] = item.at
			}
			for _, p := range v.pairs {
				if required, _ := child(p.value, "required"); required != nil && required.kind == boolean && !required.bool && !k.available(p.key) {
					continue
				}
				deps[p.key] = p.at
			}
		}
		if v, _ := child(k.pruned[member], "links"); v != nil {
			for _, item := range v.items {
				target, _, _ := strings.Cut(item.text, ":")
				deps[target] = item.at
			}
		}
	}
	delete(deps, "")
	return deps
}

// composeFile reads the key compose: which file, and which services of it.
func (c *checker) composeFile(p *pair) (*composer, []wish) {
	if !c.git {
		c.fault(p.at, "a freestyle job has no repository, so there is no Compose file to read; write the services under `services`")
		return nil, nil
	}
	var file string
	var fileAt place
	var names *node
	c.object(p.value,
		key{"file", func(at place, v *node) {
			fileAt = v.at
			c.text(&file, "the path of a Compose file in the repository", checkComposePath)(at, v)
		}},
		key{"services", func(_ place, v *node) { names = v }},
	)
	if there, _ := child(p.value, "file"); there == nil && p.value.kind == mapping {
		c.fault(p.at, "`compose` has no `file`; it names the project's Compose file, for example docker-compose.yml")
	}
	wanted, all := c.wanted(names)
	if file == "" {
		return nil, nil
	}
	k := c.openCompose(path.Clean(file), fileAt)
	if k == nil {
		return nil, nil
	}
	if all {
		k.wishAll()
		if k.include != nil {
			k.entry("include", *k.include, fileRules)
		}
	}
	return k, wanted
}

func checkComposePath(s string) string {
	if s == "" {
		return "the path is empty; name the project's Compose file, for example docker-compose.yml"
	}
	return checkInRepository(s)
}

// wanted are the services that the job file takes; all says that it does not choose.
func (c *checker) wanted(names *node) (wishes []wish, all bool) {
	switch {
	case names == nil:
		return nil, true
	case names.kind != list:
		c.wrong(names, "a list of services, for example [db, queue]")
		return nil, false
	case len(names.items) == 0:
		c.fault(names.at, "the list of services is empty; name those to start, or leave the key out for all")
	}
	for _, item := range names.items {
		if item.kind != text {
			c.wrong(item, "the name of a service")
			continue
		}
		wishes = append(wishes, wish{name: item.text, at: item.at})
	}
	return wishes, false
}
