package jobfile

import (
	"cmp"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"ci/pkg/ci"
)

// Bounds of a service.
const (
	maxStopGrace     = 30 * time.Second
	minServiceMemory = 6 << 20        // Docker's own minimum
	maxHealth        = 24 * time.Hour // of each of a healthcheck's durations
	maxRetries       = 10_000
	maxNofile        = 1 << 20
)

// read turns a judged service into the word of pkg/ci.
func (k *composer) read(name string) {
	family, circle := k.family(name)
	if circle {
		family = append(family, family[0])
		_, at := extended(k.pruned[name])
		k.c.fault(at, "service %s: `extends` leads back to the service itself: %s", code(name), show(strings.Join(family, " → ")))
		return
	}
	if k.bad[name] {
		return
	}
	all := map[string]*node{}
	for i, member := range family {
		all[member] = k.pruned[member]
		if i > 0 && !k.c.room(spoken(k.pruned[member]), k.at(name)) { // it was counted once, as a service of its own
			return
		}
	}
	s, err := load(name, all)
	if err != nil {
		k.explain(name, err, all)
		return
	}
	r := &serviceReader{composer: k, name: name, s: s, family: family}
	r.pruner.who = "service " + code(name)
	k.result = append(k.result, sidecar{Service: r.service(), at: k.at(name), deps: k.dependencies(name)})
}

// serviceReader reads one service out of compose-go's form.
type serviceReader struct {
	*composer
	name   string
	s      *types.ServiceConfig
	family []string
}

// fault is about a value of the service, wherever in what it extends it stands.
func (r *serviceReader) fault(message string, path ...string) {
	at := r.at(r.name)
	for _, member := range r.family {
		if v, _ := child(r.pruned[member], path[0]); v != nil {
			at = find(r.pruned[member], at, path...)
			break
		}
	}
	r.c.fault(at, "service %s: `%s`: %s", code(r.name), dotted(path), message)
}

func (r *serviceReader) service() ci.Service {
	s := r.s
	out := ci.Service{
		Name: r.name, Image: s.Image, Build: r.buildOf(s.Build),
		Entrypoint: r.words("entrypoint", s.Entrypoint), Command: r.words("command", s.Command),
		Env: r.env(), User: s.User, Workdir: s.WorkingDir, Hostname: s.Hostname, Aliases: r.aliases(),
		Healthcheck: r.health(), DependsOn: r.dependsOn(), ShmSize: r.size(s.ShmSize, 0, "shm_size"), Ulimits: r.ulimits(),
		StopSignal: r.signal(), StopGrace: r.grace(), Ports: slices.Clone(s.Expose),
		ReadOnly: s.ReadOnly, Init: s.Init != nil && *s.Init, CapDrop: r.capDrop(), Resources: r.resources(),
	}
	if s.Build != nil {
		out.Image = "" // there it is the name that the built image gets
	} else if s.Image == "" {
		r.c.fault(r.at(r.name), "service %s has neither `image` nor `build`; it needs one of them", code(r.name))
	} else if why := checkImage(s.Image); why != "" {
		r.fault(why, "image")
	}
	if why := checkUser(s.User); why != "" {
		r.fault(why, "user")
	}
	if s.WorkingDir != "" {
		if why := checkCleanPath(path.Clean(s.WorkingDir)); why != "" {
			r.fault(why, "working_dir")
		}
		out.Workdir = path.Clean(s.WorkingDir)
	}
	if s.Hostname != "" && !hostname.MatchString(s.Hostname) {
		r.fault(quote(s.Hostname)+" is not a host's name; expected letters, digits and '-', at most 63", "hostname")
	}
	r.mountsOf(&out)
	return out
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$`)

func (r *serviceReader) buildOf(b *types.BuildConfig) *ci.Build {
	if b == nil {
		return nil
	}
	if !r.c.git {
		r.fault("a freestyle job has no repository to build from; name an image", "build")
		return nil
	}
	contextAt, dockerfileAt := r.placeOf("build", "context"), r.placeOf("build", "dockerfile")
	context := r.inRepository(r.key("build.context"), cmp.Or(b.Context, "."), contextAt, r.dir)
	if context == "" {
		return nil
	}
	out := &ci.Build{Context: context, Target: b.Target, Args: map[string]string{}}
	out.Dockerfile = r.inRepository(r.key("build.dockerfile"), cmp.Or(b.Dockerfile, "Dockerfile"), dockerfileAt, context)
	for _, name := range slices.Sorted(maps.Keys(b.Args)) {
		if v, ok := r.given("build.args", name, b.Args[name]); ok {
			out.Args[name] = v
		}
	}
	if len(out.Args) == 0 {
		out.Args = nil
	}
	return out
}

func (r *serviceReader) key(name string) string {
	return "service " + code(r.name) + ": `" + name + "`"
}

func (r *serviceReader) placeOf(path ...string) place {
	at := r.at(r.name)
	for _, member := range r.family {
		if v, _ := child(r.pruned[member], path[0]); v != nil {
			return find(r.pruned[member], at, path...)
		}
	}
	return at
}

// given is the value of a variable that the file names; one without a value
// has it from the file's own variables, or is left out.
func (r *serviceReader) given(key, name string, value *string) (string, bool) {
	if value != nil {
		return *value, true
	}
	if v, ok := r.expander.values(name); ok {
		return v, true
	}
	r.c.notes.add(r.pruner.file+": `"+key+"."+show(name)+"`", show(r.name), "it has no value, and is left out; a run sees nobody's environment")
	return "", false
}

// words is a command. The empty one, which would leave the image's own away, can't be had.
func (r *serviceReader) words(key string, list types.ShellCommand) []string {
	if list != nil && len(list) == 0 {
		r.fault("it is empty; leave the key out for the image's own", key)
	}
	r.noNul(key, list)
	return list
}

func (r *serviceReader) noNul(key string, list []string) {
	for _, s := range list {
		if strings.ContainsRune(s, 0) {
			r.fault("it holds a NUL character", key)
			return
		}
	}
}

// env is the environment: of the files first, in their order, and then what the service says itself.
func (r *serviceReader) env() map[string]string {
	env := map[string]string{}
	for i, f := range r.s.EnvFiles {
		r.envFile(i, f, env)
	}
	for _, name := range slices.Sorted(maps.Keys(r.s.Environment)) {
		if v, ok := r.given("environment", name, r.s.Environment[name]); ok {
			env[name] = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			r.fault(quote(name)+" is not a variable that a process can have", "environment", name)
		}
	}
	if len(env) == 0 {
		return nil
	}
	return env
}

func (r *serviceReader) envFile(i int, f types.EnvFile, env map[string]string) {
	at := r.placeOf("env_file", strconv.Itoa(i))
	if !r.c.git {
		r.c.fault(at, "%s: a freestyle job has no repository to read it from; write the variables under `environment`", r.key("env_file"))
		return
	}
	if f.Format != "" {
		r.c.fault(at, "%s: the format %s is not known; leave it out", r.key("env_file"), quote(f.Format))
		return
	}
	file := r.inRepository(r.key("env_file"), f.Path, at, r.dir)
	if file == "" {
		return
	}
	if data := r.c.fetch(file, r.key("env_file")+": ", at, !bool(f.Required)); data != nil {
		vars := map[string]string{}
		r.c.variables(file, data, vars, r.expander.values)
		for _, name := range slices.Sorted(maps.Keys(vars)) {
			if !r.c.room(len(name)+len(vars[name]), at) {
				return
			}
		}
		maps.Copy(env, vars)
	}
}

// aliases are the further names: of the networks, and the container's.
func (r *serviceReader) aliases() []string {
	var all []string
	for _, network := range slices.Sorted(maps.Keys(r.s.Networks)) {
		if n := r.s.Networks[network]; n != nil {
			for i, alias := range n.Aliases {
				r.checkAlias(alias, "networks", network, "aliases", strconv.Itoa(i))
				all = append(all, alias)
			}
		}
	}
	if name := r.s.ContainerName; name != "" && name != r.name {
		r.checkAlias(name, "container_name")
		all = append(all, name)
	}
	for i, link := range r.s.Links {
		target, alias, found := strings.Cut(link, ":")
		if found && alias != target {
			r.checkAlias(alias, "links", strconv.Itoa(i))
			r.extra[target] = append(r.extra[target], alias)
		}
	}
	return all
}

func (r *serviceReader) checkAlias(s string, path ...string) {
	if !serviceName.MatchString(s) || strings.EqualFold(s, "localhost") {
		r.fault(quote(s)+" is not a name on the network; "+wantedName, path...)
	}
}

func (r *serviceReader) dependsOn() []ci.Dependency {
	on := map[string]ci.Condition{}
	for _, name := range slices.Sorted(maps.Keys(r.s.DependsOn)) {
		d := r.s.DependsOn[name]
		if !d.Required && !slices.Contains(r.chosen, name) {
			r.c.notes.add(r.pruner.file+": `depends_on."+show(name)+"`", show(r.name), "there is no such service in the run, and it is not required")
			continue
		}
		on[name] = ci.Condition(cmp.Or(d.Condition, string(ci.ServiceStarted)))
	}
	for _, link := range r.s.Links {
		target, _, _ := strings.Cut(link, ":")
		if _, ok := on[target]; !ok {
			on[target] = ci.ServiceStarted
		}
	}
	var all []ci.Dependency
	for _, name := range slices.Sorted(maps.Keys(on)) {
		all = append(all, ci.Dependency{Service: name, Condition: on[name]})
	}
	return all
}

var signal = regexp.MustCompile(`^(SIG)?[A-Z][A-Z0-9+-]{1,15}$|^[1-9][0-9]?$`)

func (r *serviceReader) signal() string {
	if s := r.s.StopSignal; s != "" && !signal.MatchString(s) {
		r.fault(quote(s)+" is not a signal; an example is SIGINT", "stop_signal")
	}
	return r.s.StopSignal
}

func (r *serviceReader) grace() ci.Duration {
	d := r.s.StopGracePeriod
	switch {
	case d == nil:
		return 0
	case *d < 0:
		r.fault("a time can't be negative", "stop_grace_period")
		return 0
	case time.Duration(*d) > maxStopGrace:
		r.c.notes.add(r.pruner.file+": `stop_grace_period`", show(r.name), "a service has 30 seconds at most to stop")
		return ci.Duration(maxStopGrace)
	}
	return ci.Duration(*d)
}

var capability = regexp.MustCompile(`^(?i:ALL|(CAP_)?[A-Z_]{2,40})$`)

func (r *serviceReader) capDrop() []string {
	for i, s := range r.s.CapDrop {
		if !capability.MatchString(s) {
			r.fault(quote(s)+" is not a capability", "cap_drop", strconv.Itoa(i))
		}
	}
	return r.s.CapDrop
}
