package jobfile

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/types"
)

var serviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

const wantedName = "expected at most 63 letters, digits, '.', '_' and '-', the first a letter or digit"

func checkServiceName(c *checker, at place, name string) {
	switch {
	case !serviceName.MatchString(name):
		c.fault(at, "%s is not a service's name; %s", quote(name), wantedName)
	case strings.EqualFold(name, "localhost"):
		c.fault(at, "a service can't be called %s, which everybody is to itself", code(name))
	}
}

// rework puts the keys of a pruned service into the form in which compose-go
// gets them, and judges what their shape does not say.
func (k *composer) rework(name string, pairs []pair) []pair {
	var left []pair
	ports, exposed := &node{kind: list}, &node{kind: list}
	for _, e := range pairs {
		switch e.key {
		case "ports":
			if asks(e.value) {
				k.c.notes.add(k.file+": `ports`", show(name), "nothing is published; the script reaches services by name, at the container's own ports")
			}
			k.ports(e, ports)
			continue
		case "expose":
			k.ports(e, exposed)
			continue
		case "profiles":
			continue
		case "environment":
			e.value = texts(e.value)
		case "build":
			e.value = k.build(e.value)
		case "volumes":
			k.mounts(e.value)
		case "networks":
			k.joins(e.value)
		}
		left = append(left, e)
	}
	if len(ports.items) == 0 && len(exposed.items) == 1 {
		// Several are a description of what the program can serve, and waiting for all of them would often be in vain.
		ports = exposed
	}
	if len(ports.items) > 0 {
		left = append(left, pair{key: "expose", at: ports.at, value: ports})
	}
	return left
}

// texts makes a mapping of a list of NAME=value, and texts of the numbers and
// flags in it, as they are written. (A NAME alone in a list is what compose-go
// would look up.)
func texts(n *node) *node {
	left := &node{kind: mapping, at: n.at, size: 1}
	switch n.kind {
	case mapping:
		for _, p := range n.pairs {
			if p.value.kind == number || p.value.kind == boolean {
				p.value = &node{kind: text, at: p.value.at, text: p.value.text, size: 1}
			}
			left.pairs = append(left.pairs, p)
		}
		return left
	case list:
		for _, item := range n.items {
			if item.kind != text {
				return n // compose-go says what is wrong
			}
			name, value, found := strings.Cut(item.text, "=")
			v := &node{kind: null, at: item.at, size: 1}
			if found {
				v = &node{kind: text, at: item.at, text: value, size: 1}
			}
			left.pairs = slices.DeleteFunc(left.pairs, func(p pair) bool { return p.key == name })
			left.pairs = append(left.pairs, pair{name, item.at, v})
		}
		return left
	}
	return n
}

func (k *composer) build(n *node) *node {
	if n.kind != mapping {
		return n
	}
	left := &node{kind: mapping, at: n.at, size: 1}
	for _, p := range n.pairs {
		if p.key == "args" {
			p.value = texts(p.value)
		}
		left.pairs = append(left.pairs, p)
	}
	return left
}

// port is [[address:]published:]target[/protocol]; only the target counts.
var port = regexp.MustCompile(`^(?:.*:)?([0-9]{1,5})(-[0-9]{1,5})?(?:/(tcp|udp|sctp))?$`)

// ports adds the ports to wait for, each once: single TCP ports.
func (k *composer) ports(e pair, to *node) {
	if e.value.kind != list {
		if e.value.kind != null {
			k.c.wrong(e.value, "a list of ports")
		}
		return
	}
	for _, item := range e.value.items {
		s, at := item.text, item.at
		if item.kind == mapping {
			target, _ := child(item, "target")
			if target == nil {
				k.c.fault(at, "%s`%s` has a port without `target`", k.of(), e.key)
				continue
			}
			s = target.text
			if protocol, _ := child(item, "protocol"); protocol != nil {
				s += "/" + protocol.text
			}
		} else if item.kind == list || item.kind == boolean || item.kind == null {
			k.c.wrong(item, "a port")
			continue
		}
		if item.kind == broken {
			continue
		}
		m := port.FindStringSubmatch(s)
		if m == nil || len(m[1]) == 5 && m[1] > "65535" || strings.Trim(m[1], "0") == "" {
			k.c.fault(at, "%s`%s`: %s is not a port; expected [[address:]published:]target[/protocol]", k.of(), e.key, quote(s))
			continue
		}
		if m[2] == "" && (m[3] == "" || m[3] == "tcp") {
			k.addPort(to, m[1]+"/tcp", at)
		}
	}
}

func (k *composer) addPort(to *node, s string, at place) {
	for _, item := range to.items {
		if item.text == s {
			return
		}
	}
	if len(to.items) == 0 {
		to.at = at
	}
	to.items = append(to.items, &node{kind: text, at: at, text: s, size: 1})
}

// mounts judges the volumes of a service.
func (k *composer) mounts(n *node) {
	for _, item := range n.items {
		switch item.kind {
		case text:
			v, err := format.ParseVolume(item.text)
			switch {
			case v.Type == types.VolumeTypeBind:
				k.bind(item)
			case err != nil:
				k.c.fault(item.at, "%s`volumes`: %s is not a volume; expected name:/path[:ro]", k.of(), quote(item.text))
			case v.Source != "":
				k.volume(v.Source, item.at)
			}
		case mapping:
			k.mount(item)
		}
	}
}

func (k *composer) bind(n *node) {
	what, _ := child(n, "source")
	if n.kind == text || what == nil {
		what = n
	}
	k.c.fault(n.at, "%s`volumes`: %s mounts a path of the machine (a bind mount), which is refused; put the files into an image with `build`, or name a volume that lives as long as the run", k.of(), quote(what.text))
}

// mount judges a volume in the long form.
func (k *composer) mount(n *node) {
	kind, _ := child(n, "type")
	if kind == nil {
		return // compose-go says so
	}
	source, at := child(n, "source")
	switch kind.text {
	case types.VolumeTypeBind:
		k.bind(n)
	case types.VolumeTypeVolume:
		if source != nil && source.text != "" {
			k.volume(source.text, at)
		}
	case types.VolumeTypeTmpfs:
	default:
		k.c.fault(kind.at, "%s`volumes`: the type %s is refused; expected volume or tmpfs", k.of(), code(kind.text))
	}
}

var volumeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// volume judges the volume that a service names.
func (k *composer) volume(name string, at place) {
	if !volumeName.MatchString(name) {
		k.c.fault(at, "%s`volumes`: %s is not a volume's name; expected letters, digits, '.', '_' and '-'", k.of(), quote(name))
		return
	}
	if k.inline {
		return
	}
	declared := k.declared(k.volumes, "volumes", name, at, volumeRules)
	if declared == nil {
		return
	}
	if driver, where := child(declared, "driver"); driver != nil && driver.text != "local" && asks(driver) {
		k.c.fault(where, "volume %s: `driver` %s is refused; a run's volumes are local", code(name), quote(driver.text))
	}
}

// declared judges an entry of volumes or networks at the top of the file. It
// returns nil for one that has nothing to say.
func (k *composer) declared(all *node, what, name string, at place, known rules) *node {
	var entry *node
	if all != nil {
		entry, _ = child(all, name)
	}
	if entry == nil {
		k.c.fault(at, "%s`%s`: %s is not declared; add it to `%s` at the top of the file", k.of(), what, code(name), what)
		return nil
	}
	if entry.kind != mapping {
		if entry.kind != null {
			k.prune("", entry, nil)
			k.c.wrong(entry, "a mapping, or nothing")
		}
		return nil
	}
	judge := k.pruner
	judge.who = strings.TrimSuffix(what, "s") + " " + code(name)
	judge.short = "the " + strings.TrimSuffix(what, "s") + " " + show(name)
	return judge.prune("", entry, &shape{keys: known})
}

// joins judges the networks that a service is in.
func (k *composer) joins(n *node) {
	for _, item := range n.items {
		if item.kind == text {
			k.network(item.text, item.at)
		}
	}
	for _, p := range n.pairs {
		k.network(p.key, p.at)
	}
}

func (k *composer) network(name string, at place) {
	if k.inline {
		return
	}
	if name == "default" { // is there without being declared
		if k.networks == nil {
			return
		}
		if n, _ := child(k.networks, name); n == nil {
			return
		}
	}
	declared := k.declared(k.networks, "networks", name, at, networkRules)
	if declared == nil {
		return
	}
	if driver, where := child(declared, "driver"); driver != nil && asks(driver) && driver.text != "bridge" && driver.text != "overlay" {
		k.c.fault(where, "network %s: `driver` %s is refused; all services of a run share its own private network", code(name), quote(driver.text))
	}
}

// inRepository is where a path of the file is in the repository; "" after a fault.
func (k *composer) inRepository(what, s string, at place, base string) string {
	clean := path.Join(base, s)
	switch {
	case s == "":
		k.c.fault(at, "%s: it is empty", what)
	case strings.Contains(s, "://") || gitAddress.MatchString(s):
		k.c.fault(at, "%s: %s is another repository; only what is in the run's own is read", what, quote(s))
	case path.IsAbs(s) || strings.HasPrefix(s, "~") || windowsPath.MatchString(s):
		k.c.fault(at, "%s: %s is a path of the machine; expected one inside the repository", what, quote(s))
	case clean == ".." || strings.HasPrefix(clean, "../"):
		k.c.fault(at, "%s: %s leaves the repository", what, quote(s))
	case len(s) > maxPath || strings.ContainsFunc(s, unfit):
		k.c.fault(at, "%s: %s must not hold control characters, colons or backslashes, nor be longer than %d bytes", what, quote(s), maxPath)
	default:
		return clean
	}
	return ""
}

var (
	gitAddress  = regexp.MustCompile(`^(git@|github\.com/)`)
	windowsPath = regexp.MustCompile(`^([A-Za-z]:|\\\\)`)
)

func unfit(r rune) bool { return r < ' ' || r == 0x7f || r == ':' || r == '\\' }
