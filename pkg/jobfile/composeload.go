package jobfile

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// load lets compose-go read one service: short and long forms, durations,
// sizes, and what the service extends. all are the pruned services that it may
// extend, itself included; pruned means that nothing is left in them that would
// lead compose-go to a file or to the environment.
func load(name string, all map[string]*node) (s *types.ServiceConfig, err error) {
	defer func() {
		if r := recover(); r != nil { // a stranger's file must not end the server, whatever the library makes of it
			s, err = nil, fmt.Errorf("the service can't be read: %v", r)
		}
	}()
	services, networks, volumes := map[string]any{}, map[string]any{}, map[string]any{}
	for n, v := range all {
		services[n] = plain(v)
		declare(networks, v, "networks")
		declare(volumes, v, "volumes")
	}
	details := types.ConfigDetails{
		WorkingDir:  "/",
		ConfigFiles: []types.ConfigFile{{Filename: "compose", Config: map[string]any{"services": services, "networks": networks}}},
		Environment: types.Mapping{},
	}
	project, err := loader.LoadWithContext(context.Background(), details, func(o *loader.Options) {
		o.SetProjectName("run", true)
		o.SkipInclude = true
		o.ResolvePaths = false
		o.SkipNormalization = true
		o.SkipConsistencyCheck = true
		o.SkipResolveEnvironment = true
		o.SkipResolveLabels = true
	})
	if err != nil {
		return nil, err
	}
	service, err := project.GetService(name)
	return &service, err
}

// declare notes the names that a service has under key as declared.
func declare(names map[string]any, service *node, key string) {
	v, _ := child(service, key)
	if v == nil {
		return
	}
	for _, item := range v.items {
		names[item.text] = nil
	}
	for _, p := range v.pairs {
		names[p.key] = nil
	}
}

// plain is a node as compose-go wants it. It replaces variables once more, so
// dollar signs are doubled.
func plain(n *node) any {
	switch n.kind {
	case boolean:
		return n.bool
	case number:
		if i, err := strconv.Atoi(n.text); err == nil && decimal.MatchString(n.text) {
			return i
		}
		return n.num
	case text:
		return strings.ReplaceAll(n.text, "$", "$$")
	case list:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = plain(item)
		}
		return items
	case mapping:
		m := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			m[p.key] = plain(p.value)
		}
		return m
	}
	return nil
}

// explain turns compose-go's complaint about a service into a fault at the
// service's key that it is about.
func (k *composer) explain(name string, err error, all map[string]*node) {
	service := all[name]
	message := plainly(err)
	for _, owner := range slices.Sorted(maps.Keys(all)) {
		n := all[owner]
		if path, rest, ok := lead(message, owner, n); ok {
			k.c.fault(find(n, k.at(owner), path...), "service %s: `%s` %s", code(owner), show(dotted(path)), rest)
			return
		}
	}
	// It names no path, so its keys are tried one at a time.
	for _, p := range service.pairs {
		if p.key == "extends" {
			continue
		}
		one := &node{kind: mapping, pairs: []pair{p}}
		if _, err := load(name, map[string]*node{name: one}); err != nil {
			k.c.fault(p.at, "service %s: `%s` can't be read: %s", code(name), p.key, plainly(err))
			return
		}
	}
	k.c.fault(k.at(name), "service %s can't be read: %s", code(name), message)
}

// preface is what compose-go's decoder says before it comes to the point.
var preface = regexp.MustCompile(`^decoding failed due to the following error\(s\):\s*|'services\[[^']*'\s*`)

const maxComplaint = 300

// plainly is compose-go's complaint in one short line, without control characters.
func plainly(err error) string {
	s := preface.ReplaceAllString(err.Error(), "")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(strings.TrimSpace(s)); len(r) > maxComplaint {
		return string(r[:maxComplaint]) + "…"
	}
	return strings.TrimSpace(s)
}

var schemaPath = regexp.MustCompile(`services\.`)

// lead finds the path of a value of a service in a complaint, such as
// "services.db.ports.0 must be a string", and what is said about it.
func lead(message, service string, n *node) (path []string, rest string, ok bool) {
	for _, at := range schemaPath.FindAllStringIndex(message, -1) {
		rest, ok = strings.CutPrefix(message[at[1]:], service)
		if !ok || rest != "" && !strings.ContainsAny(rest[:1], ". :") {
			continue
		}
		for strings.HasPrefix(rest, ".") {
			step, next, more := stepInto(n, rest[1:])
			if !more {
				break
			}
			path, rest, n = append(path, step), rest[1+len(step):], next
		}
		return path, strings.TrimLeft(rest, ".: "), len(path) > 0
	}
	return nil, "", false
}

// stepInto finds the key or index below n that s begins with.
func stepInto(n *node, s string) (step string, next *node, ok bool) {
	for _, p := range n.pairs {
		if rest, found := strings.CutPrefix(s, p.key); found && len(p.key) >= len(step) && (rest == "" || strings.ContainsAny(rest[:1], ". :")) {
			step, next, ok = p.key, p.value, true
		}
	}
	for i, item := range n.items {
		is := strconv.Itoa(i)
		if rest, found := strings.CutPrefix(s, is); found && (rest == "" || strings.ContainsAny(rest[:1], ". :")) {
			return is, item, true
		}
	}
	return step, next, ok
}

// dotted writes a path for people: healthcheck.retries, ports[0].
func dotted(path []string) string {
	var b strings.Builder
	for i, step := range path {
		if _, err := strconv.Atoi(step); err == nil {
			b.WriteString("[" + step + "]")
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(step)
	}
	return b.String()
}
