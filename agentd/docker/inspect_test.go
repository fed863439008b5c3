package docker

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/network"
	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// witness looks at everything that an agent makes: at containers before they
// start and at all objects before they are removed.
type witness struct {
	mu   sync.Mutex
	seen map[string]map[string]string // by role and kind: path → value
}

func newWitness(t *testing.T) (*witness, string) {
	t.Helper()
	socket, ok := strings.CutPrefix(engine.DaemonHost(), "unix://")
	if !ok {
		t.Skip("the engine is not on a socket, and is looked at through one")
	}
	w := &witness{seen: map[string]map[string]string{}}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "docker"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	proxy.FlushInterval = -1 // who waits for a container has to hear that it is waiting
	host := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", host)
	require.NoError(t, err)
	path := regexp.MustCompile(`^/v[0-9.]+/(containers|volumes|networks)/([^/]+)(/start)?$`)
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if m := path.FindStringSubmatch(r.URL.Path); m != nil && (r.Method == http.MethodDelete || m[3] != "") {
			w.look(m[1], m[2])
		}
		proxy.ServeHTTP(rw, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return w, "unix://" + host
}

// look notes all of an object that is not empty.
func (w *witness) look(kind, name string) {
	ctx := context.Background()
	var object any
	var labels map[string]string
	switch kind {
	case "containers":
		c, err := engine.ContainerInspect(ctx, name)
		if err != nil || c.Config == nil {
			return
		}
		labels = maps.Clone(c.Config.Labels)
		object = map[string]any{"HostConfig": c.HostConfig, "Config": c.Config, "Mounts": c.Mounts, "Networks": c.NetworkSettings.Networks}
	case "volumes":
		v, err := engine.VolumeInspect(ctx, name)
		if err != nil {
			return
		}
		labels, object = v.Labels, v
	case "networks":
		n, err := engine.NetworkInspect(ctx, name, network.InspectOptions{})
		if err != nil {
			return
		}
		n.Containers = nil
		labels, object = n.Labels, n
	}
	b, err := json.Marshal(object)
	if err != nil {
		return
	}
	var tree any
	if json.Unmarshal(b, &tree) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	role := strings.TrimSuffix(kind, "s") + ":" + labels[labelRole]
	if w.seen[role] == nil {
		w.seen[role] = map[string]string{}
	}
	flatten(prune(tree), "", w.seen[role])
}

// flatten lists what v holds, each under its path.
func flatten(v any, path string, into map[string]string) {
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for k, e := range v {
			if strings.HasPrefix(path, ".Networks") && strings.Count(path, ".") == 1 {
				k = "*" // a network's name
			}
			flatten(e, path+"."+k, into)
		}
	case []any:
		for _, e := range v {
			flatten(prune(e), path+"[]", into)
		}
	default:
		text := fmt.Sprint(v)
		if before, ok := into[path]; ok {
			if slices.Contains(strings.Split(before, "\n"), text) {
				return
			}
			text = before + "\n" + text
		}
		into[path] = text
	}
}

// rule is a line of testdata/inspect.txt.
type rule struct {
	line, roles, path string
	value             *regexp.Regexp
	used              bool
}

func rules(t *testing.T) []*rule {
	t.Helper()
	b, err := os.ReadFile("testdata/inspect.txt")
	require.NoError(t, err)
	var all []*rule
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		said, why, ok := strings.Cut(line, " # ")
		words := strings.Fields(said)
		require.True(t, ok && why != "" && len(words) == 3, "%q is not: roles path value # why", line)
		all = append(all, &rule{line: line, roles: words[0], path: words[1], value: regexp.MustCompile(`^(?:` + words[2] + `)$`)})
	}
	return all
}

func (r *rule) allows(role, path, value string) bool {
	for pattern := range strings.SplitSeq(r.roles, "|") {
		if ok, err := filepath.Match(pattern, role); err == nil && ok && r.path == path && r.value.MatchString(value) {
			r.used = true
			return true
		}
	}
	return false
}

// whole is a service that sets all that a job file can. Forgetting what a new
// key adds must fail TestInspectAllowList.
func whole(name string) ci.Service {
	return web(name, func(s *ci.Service) {
		s.Entrypoint = []string{"/bin/busybox"}
		s.Env = map[string]string{"GREETING": "hello"}
		s.User, s.Workdir, s.Hostname, s.Aliases = "1234:1235", "/seed", "machine", []string{"other"}
		s.Healthcheck = &ci.Healthcheck{Test: []string{"CMD", "true"}, Interval: ci.Duration(time.Second), Timeout: ci.Duration(time.Minute), Retries: 3}
		s.Mounts = []ci.Mount{{Volume: "data", Target: "/data"}, {Volume: "data", Target: "/readable", ReadOnly: true}, {Target: "/own"}}
		s.Tmpfs = []ci.Tmpfs{{Target: "/memory", Size: 1 << 20}, {Target: "/more"}}
		s.ShmSize, s.Ulimits = 1<<20, []ci.Ulimit{{Name: "nofile", Soft: 512, Hard: 1024}, {Name: "core", Soft: -1, Hard: -1}}
		s.StopSignal, s.StopGrace, s.Ports = "SIGINT", ci.Duration(time.Second), []string{"8080/tcp"}
		s.Init, s.ReadOnly, s.CapDrop = true, true, []string{"CHOWN", "CAP_KILL"}
		s.Resources = ci.Resources{CPUs: 0.5, Memory: 64 << 20, Pids: 64}
	})
}

// TestInspectKnowsServices has whole set every field, so that whoever adds one meets the list.
func TestInspectKnowsServices(t *testing.T) {
	t.Parallel()
	s := reflect.ValueOf(whole("one"))
	for i := range s.NumField() {
		if name := s.Type().Field(i).Name; name != "Image" && name != "Build" && name != "DependsOn" { // what it is made from, and when
			require.False(t, s.Field(i).IsZero(), "whole() does not set %s, so nobody looks at what it adds to a container", name)
		}
	}
}

// TestInspectAllowList compares everything that runs make, as `docker inspect`
// shows it, with testdata/inspect.txt: what is not empty has to be listed there
// with its reason, and what is listed has to be there unless it is the engine's own doing.
func TestInspectAllowList(t *testing.T) {
	t.Parallel()
	w, host := newWitness(t)
	cfg := config("inspect")
	cfg.Host, cfg.Dir, cfg.mirrorFrom, cfg.MirrorBudget = host, t.TempDir(), 1, 1<<30
	d, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, d.Open(t.Context()))
	play := func(o runner.Order) {
		t.Helper()
		var console output
		b := prepare(t, d, o, &console)
		_, err := b.Run(t.Context(), func() {}, &console)
		require.NoError(t, err, console.String())
		require.NoError(t, b.Remove(t.Context()))
	}
	r := newRepository(t)
	play(order("true", inImage(busyBase), from(r.url, r.shas[0], 1)))
	play(order("true", inImage(busyBase), from(r.url, r.shas[1], 1))) // large, as far as this agent is concerned: it gets a mirror
	play(order("true", from(r.url, r.shas[0], 1), with(whole("one"), web("two"))))
	t.Cleanup(func() { removeBuilt(t, d) })
	play(building(project(t, map[string]string{"Dockerfile": "FROM " + busyBase + "\nRUN true\n"}), "true"))
	play(order("true", inImage(busyBase), func(o *runner.Order) {
		o.Checkout = &runner.Checkout{Tree: func(_ context.Context, to io.Writer) error { return tar.NewWriter(to).Close() }}
	}))
	require.NoError(t, d.Close(t.Context()))

	list := rules(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, want := range []string{"container:job", "container:checkout", "container:tree", "container:sandbox", "container:wall", "container:fill", "container:service", "container:context", "volume:toolbox", "volume:workspace", "volume:volume", "volume:mirror", "network:network"} {
		require.Contains(t, slices.Collect(maps.Keys(w.seen)), want, "not seen")
	}
	for _, role := range slices.Sorted(maps.Keys(w.seen)) {
		for _, path := range slices.Sorted(maps.Keys(w.seen[role])) {
			for value := range strings.SplitSeq(w.seen[role][path], "\n") {
				allowed := false
				for _, r := range list {
					allowed = r.allows(role, path, value) || allowed
				}
				if !allowed {
					t.Errorf("not on the list: %s %s %s", role, path, value)
				}
			}
		}
	}
	for _, r := range list {
		if !r.used && !strings.Contains(r.line, "the engine's") { // engines differ in theirs
			t.Errorf("listed, and not there: %s", r.line)
		}
	}
}
