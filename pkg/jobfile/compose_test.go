package jobfile

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// services are those of a file of testdata/good, by name, and its notes.
func services(t *testing.T, name string) (all map[string]ci.Service, order, notes []string) {
	t.Helper()
	spec, err := Parse(name, corpus(t, "good")[name], folder("testdata/good"))
	require.NoError(t, err)
	all = map[string]ci.Service{}
	for _, s := range spec.Services {
		all[s.Name] = s
		order = append(order, s.Name)
	}
	return all, order, spec.Notes
}

func TestServices(t *testing.T) {
	t.Parallel()
	all, order, notes := services(t, "services.yaml")
	require.Equal(t, []string{"db", "migrate", "web", "tester"}, order)
	require.Equal(t, ci.Service{
		Name: "db", Image: "postgres:15",
		Env:  map[string]string{"POSTGRES_PASSWORD": "test", "PGDATA": "/data", "PORT": "5432", "DEBUG": "true"},
		User: "999:999", Workdir: "/data", Hostname: "primary", Aliases: []string{"database", "my-db"},
		Healthcheck: &ci.Healthcheck{
			Test: []string{"CMD", "pg_isready"}, Interval: ci.Duration(time.Second), Timeout: ci.Duration(5 * time.Second),
			StartPeriod: ci.Duration(90 * time.Second), Retries: 30,
		},
		Mounts:  []ci.Mount{{Volume: "data", Target: "/data"}, {Target: "/scratch"}, {Volume: "data", Target: "/again", ReadOnly: true}},
		Tmpfs:   []ci.Tmpfs{{Target: "/run/x", Size: 64 << 20}, {Target: "/tmp", Size: 32 << 20}, {Target: "/var/run"}},
		ShmSize: 256 << 20, Ulimits: []ci.Ulimit{{Name: "nofile", Soft: 1024, Hard: 4096}, {Name: "nproc", Soft: 65535, Hard: 65535}},
		StopSignal: "SIGINT", StopGrace: ci.Duration(20 * time.Second), Init: true, ReadOnly: true, CapDrop: []string{"ALL"},
		Resources: ci.Resources{CPUs: 0.5, Memory: 512 << 20, Pids: 100},
	}, all["db"])
	require.Equal(t, ci.Service{
		Name: "web", Build: &ci.Build{Dockerfile: "web/Dockerfile.dev", Context: "web", Target: "dev", Args: map[string]string{"A": "1", "B": "2"}},
		Aliases: []string{"www"},
		DependsOn: []ci.Dependency{
			{Service: "db", Condition: ci.ServiceHealthy}, {Service: "migrate", Condition: ci.ServiceCompleted},
		},
		Ports: []string{"80/tcp", "9001/tcp", "443/tcp", "7000/tcp"},
	}, all["web"])
	migrate := ci.Service{
		Name: "migrate", Image: "migrate", Entrypoint: []string{"/bin/migrate"}, Command: []string{"up", "--to", "the end", "$HOME"},
		Env:       map[string]string{"GREETING": "hello $world", "LINES": "a\nb", "PLAIN": "x", "DERIVED": "x-none"},
		DependsOn: []ci.Dependency{{Service: "db", Condition: ci.ServiceStarted}},
		Resources: ci.Resources{CPUs: 1.5, Memory: 1 << 30, Pids: 10},
	}
	require.Equal(t, migrate, all["migrate"])
	tester := migrate
	tester.Name, tester.Healthcheck = "tester", &ci.Healthcheck{Disable: true}
	tester.Env = maps.Clone(migrate.Env)
	tester.Env["A"] = "b"
	require.Equal(t, tester, all["tester"], "extends migrate")
	require.Equal(t, []string{
		"services: `ports` of web: nothing is published; the script reaches services by name, at the container's own ports",
		"services: `deploy.replicas` of migrate: has no effect; one container of each service is started",
		"services: `restart` of db: has no effect; a service runs once, for as long as its run",
		"services: `depends_on.optional` of web: there is no such service in the run, and it is not required",
		"services: `environment.NONE` of db: it has no value, and is left out; a run sees nobody's environment",
		"services: `tmpfs` of db: has no effect but for its size; everybody in the container may write there",
		"services: `environment.C` of tester: it has no value, and is left out; a run sees nobody's environment",
	}, notes)
}

func TestProjectFile(t *testing.T) {
	t.Parallel()
	all, order, notes := services(t, "compose-all.yaml")
	require.Equal(t, []string{"db", "redis", "web"}, order)
	require.Equal(t, "postgres:15", all["db"].Image)
	require.Equal(t, []string{"CMD-SHELL", "pg_isready -U ${POSTGRES_USER}"}, all["db"].Healthcheck.Test)
	require.Equal(t, []string{"shop_db"}, all["db"].Aliases)
	require.Equal(t, map[string]string{"LEVEL": "debug", "MODE": "0750"}, all["db"].Env)
	require.Equal(t, []string{"redis-server", "--save", ""}, all["redis"].Command)
	web := all["web"]
	require.Equal(t, &ci.Build{Dockerfile: "good/Dockerfile", Context: "good"}, web.Build)
	require.Equal(t, map[string]string{
		"LEVEL": "debug", "MODE": "0750", "DATABASE_URL": "postgres://db:5432/shop?x=$1", "SECRET": "",
		"GREETING": "hello $world", "LINES": "a\nb", "PLAIN": "x", "DERIVED": "x-shop",
	}, web.Env)
	require.Contains(t, strings.Join(notes, "\n"), "project/compose.yaml: the variable SECRET: it has no value, and is empty")
	require.Contains(t, strings.Join(notes, "\n"), "project/compose.yaml: the service admin: it has profiles, and is left out")
	require.Contains(t, strings.Join(notes, "\n"), "`internal` of the network back: has no effect")
}

func TestServicesAcrossFiles(t *testing.T) {
	t.Parallel()
	_, order, _ := services(t, "compose-and-services.yaml")
	require.Equal(t, []string{"db", "seed", "redis"}, order)
	_, order, _ = services(t, "services-order.yaml")
	require.Equal(t, []string{"a", "b", "c"}, order)
}

// inProject parses a job file that takes services from compose.yaml.
func inProject(files map[string]string, services string) (*ci.Spec, error) {
	job := "script: x\ncompose: {file: compose.yaml" + services + "}\n"
	return Parse("ci.yaml", []byte(job), func(path string) ([]byte, error) {
		if data, ok := files[path]; ok {
			return []byte(data), nil
		}
		return nil, ci.Errorf(ci.CodeNotFound, "file %s does not exist", path)
	})
}

func TestOnlyWantedServicesAreJudged(t *testing.T) {
	t.Parallel()
	const file = `
include: [other.yaml]
services:
  db: { image: postgres }
  app: { image: app, depends_on: [db], extends: { service: base } }
  base: { image: base, privileged: true }
  odd: { image: !!binary eA==, 5: [], volumes: [/:/host], command: 0o17 }
volumes: { x: { external: true } }
`
	spec, err := inProject(map[string]string{"compose.yaml": file}, ", services: [db]")
	require.NoError(t, err)
	require.Len(t, spec.Services, 1)
	_, err = inProject(map[string]string{"compose.yaml": file}, ", services: [app]")
	require.Equal(t, []string{"compose.yaml:6:24 service `base`: `privileged` is refused: it hands the machine that runs the job to the container"}, faultsOf(t, err))
	_, err = inProject(map[string]string{"compose.yaml": file}, ", services: [elsewhere]")
	require.Contains(t, faultsOf(t, err)[0], "what the file includes is not read")
	_, err = inProject(map[string]string{"compose.yaml": file}, "")
	require.Len(t, faultsOf(t, err), 6-1, "include, base, and three of odd")
}

func TestOptionalNeeds(t *testing.T) {
	t.Parallel()
	files := map[string]string{"compose.yaml": `
services:
  app: { image: app, depends_on: { debug: { condition: service_started, required: false }, db: { condition: service_started } } }
  debug: { image: debug, profiles: [dev] }
  db: { image: db, profiles: [dev] }
`}
	names := func(services string) (all []string) {
		spec, err := inProject(files, services)
		require.NoError(t, err)
		for _, s := range spec.Services {
			all = append(all, s.Name)
		}
		return all
	}
	require.Equal(t, []string{"db", "app"}, names(""))
	require.Equal(t, []string{"db", "app"}, names(", services: [app]"))
	require.Equal(t, []string{"debug", "db", "app"}, names(", services: [debug, app]"))
}

// TestNobodysEnvironmentIsRead has variables in this process's environment,
// files on this machine, and a Compose file that wants both.
func TestNobodysEnvironmentIsRead(t *testing.T) {
	t.Setenv("CI_CANARY", "canary-of-the-server")
	t.Setenv("COMPOSE_PROFILES", "debug")
	secret := t.TempDir() + "/secret.env"
	require.NoError(t, os.WriteFile(secret, []byte("A=canary-of-the-server\n"), 0o600))
	const file = `
services:
  a:
    image: a
    command: ["${CI_CANARY}", "$HOME", "$PATH", "${CI_CANARY:-default}"]
    environment: [CI_CANARY, HOME, "X=${PATH}", COMPOSE_PROJECT_NAME]
    labels: ["${CI_CANARY}"]
  b: { image: b, profiles: [debug] }
`
	spec, err := inProject(map[string]string{"compose.yaml": file}, "")
	require.NoError(t, err)
	require.Len(t, spec.Services, 1)
	require.Equal(t, []string{"", "", "", "default"}, spec.Services[0].Command)
	require.Equal(t, map[string]string{"X": ""}, spec.Services[0].Env)
	_, err = inProject(map[string]string{"compose.yaml": "services: { a: { image: a, env_file: " + secret + " } }"}, "")
	require.Contains(t, faultsOf(t, err)[0], "is a path of the machine")
	for _, bad := range []string{"image: ${CI_CANARY}", "build: ${CI_CANARY}", "extends: { file: " + secret + ", service: a }"} {
		_, err = inProject(map[string]string{"compose.yaml": "services: { a: { " + bad + " } }"}, "")
		require.NotContains(t, strings.Join(faultsOf(t, err), "\n"), "canary")
	}
}

// TestReadFailures: when nobody could be asked, nothing is said about the file.
func TestReadFailures(t *testing.T) {
	t.Parallel()
	away := ci.Errorf(ci.CodeUnavailable, "the host is away")
	_, err := Parse("x", []byte("script: x\ncompose: {file: c.yaml}\nodd: 1\n"), func(string) ([]byte, error) { return nil, away })
	require.Same(t, away, err)
	_, err = Parse("x", []byte("script: x\ncompose: {file: c.yaml}\n"), func(string) ([]byte, error) { return nil, context.Canceled })
	require.True(t, errors.Is(err, context.Canceled))
	_, err = Parse("x", []byte("script: x\ncompose: {file: c.yaml}\n"), nil)
	require.Contains(t, faultsOf(t, err)[0], "no repository is at hand")
	_, err = Parse("x", []byte("script: x\ncompose: {file: c.yaml}\n"), func(string) ([]byte, error) {
		return nil, ci.Errorf(ci.CodeInvalid, "c.yaml is a symbolic link")
	})
	require.Equal(t, []string{"x:2:17 `compose.file`: c.yaml is a symbolic link"}, faultsOf(t, err))
}

// TestComposeSyntax has what real files have.
func TestComposeSyntax(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		file string
		want []string // faults; nil: accepted
	}{
		"merge list":       {"x-a: &a { user: '1' }\nx-b: &b { user: '2', init: true }\nservices: { s: { <<: [*a, *b], image: i } }", nil},
		"merge scalar":     {"services: { s: { <<: 5, image: i } }", []string{"compose.yaml:1:22 found the number 5 behind a merge key"}},
		"merge itself":     {"x-a: &a { <<: *a }\nservices: {}", []string{"compose.yaml:1:15 the alias *a stands for nothing"}},
		"number keys":      {"x-1: { 5: a, true: b, ~: c }\nservices: { s: { image: i, environment: { 1A: b } } }", nil},
		"reset":            {"services: { a: { image: i, command: x }, s: { extends: a, command: !reset [] } }", []string{"compose.yaml:1:68 found the tag `!reset`"}},
		"override":         {"services:\n  s:\n    image: i\n    ports: !override [\"80\"]", []string{"compose.yaml:4:12 found the tag `!override`"}},
		"no services":      {"version: '3'", []string{"compose.yaml:1:1 compose.yaml has no `services`"}},
		"services list":    {"services: [a]", []string{"compose.yaml:1:11 found a list; expected a mapping from names to services"}},
		"empty":            {"", []string{"compose.yaml:1:1 the file is empty; expected a mapping with the key `services`"}},
		"text":             {"hello", []string{"compose.yaml:1:1 found the text \"hello\"; expected a Compose file"}},
		"only include":     {"include: [a.yaml]", []string{"compose.yaml:1:1 `include` is refused"}},
		"two documents":    {"services: { a: { image: i } }\n---\nservices: {}", []string{"compose.yaml:2:1 found a second document"}},
		"octal mode":       {"services: { s: { image: i, volumes: [{ type: tmpfs, target: /x, tmpfs: { mode: 0755, size: 1000000 } }] } }", nil},
		"volume image":     {"services: { s: { image: i, volumes: [{ type: image, source: x, target: /x }] } }", []string{"compose.yaml:1:46 service `s`: `volumes`: the type `image` is refused"}},
		"no volume type":   {"services: { s: { image: i, volumes: [{ target: /x }] } }", []string{"compose.yaml:1:40 service `s`: `volumes[0]`"}},
		"local driver":     {"services: { s: { image: i, volumes: ['vol:/x'] } }\nvolumes: { vol: { driver: local } }", nil},
		"nfs driver":       {"services: { s: { image: i, volumes: ['vol:/x'] } }\nvolumes: { vol: { driver: nfs } }", []string{"compose.yaml:2:19 volume `vol`: `driver` \"nfs\" is refused"}},
		"external v2":      {"services: { s: { image: i, volumes: ['vol:/x'] } }\nvolumes: { vol: { external: { name: y } } }", []string{"compose.yaml:2:19 volume `vol`: `external` is refused"}},
		"host network":     {"services: { s: { image: i, networks: [n] } }\nnetworks: { n: { driver: host } }", []string{"compose.yaml:2:18 network `n`: `driver` \"host\" is refused"}},
		"default network":  {"services: { s: { image: i, networks: [default] } }", nil},
		"external default": {"services: { s: { image: i, networks: [default] } }\nnetworks: { default: { external: true } }", []string{"compose.yaml:2:24 network `default`: `external` is refused"}},
		"false refusals":   {"services: { s: { image: i, privileged: false, cap_add: [], devices: , network_mode: '' } }", nil},
		"docker socket":    {"services: { s: { image: i, use_api_socket: true } }", []string{"compose.yaml:1:28 service `s`: `use_api_socket` is refused"}},
		"pid host":         {"services: { s: { image: i, pid: host } }", []string{"compose.yaml:1:28 service `s`: `pid` is refused"}},
		"windows":          {"services: { s: { image: i, volumes: ['C:\\x:/y', '\\\\.\\pipe\\docker_engine:/z'] } }", []string{"compose.yaml:1:38 service `s`: `volumes`: \"C:\\\\x:/y\" mounts a path", "compose.yaml:1:49 service `s`: `volumes`"}},
		"variable bind":    {"services: { s: { image: i, volumes: ['${DIR:-/etc}:/x'] } }", []string{"compose.yaml:1:38 service `s`: `volumes`: \"/etc:/x\" mounts a path"}},
		"build outside":    {"services: { s: { build: ../x } }", []string{"compose.yaml:1:18 service `s`: `build.context`: \"../x\" leaves the repository"}},
		"build absolute":   {"services: { s: { build: { context: /etc } } }", []string{"compose.yaml:1:27 service `s`: `build.context`: \"/etc\" is a path of the machine"}},
		"dockerfile up":    {"services: { s: { build: { context: x, dockerfile: ../../D } } }", []string{"compose.yaml:1:39 service `s`: `build.dockerfile`: \"../../D\" leaves the repository"}},
		"dockerfile":       {"services: { s: { build: { context: x, dockerfile: ../D } } }", nil},
		"git context":      {"services: { s: { build: git@github.com:a/b } }", []string{"compose.yaml:1:18 service `s`: `build.context`: \"git@github.com:a/b\" is another repository"}},
		"inline build":     {"services: { s: { build: { dockerfile_inline: FROM x } } }", []string{"compose.yaml:1:27 service `s`: `build.dockerfile_inline` is refused"}},
		"build in network": {"services: { s: { build: { context: ., network: host, privileged: true } } }", []string{"compose.yaml:1:39 service `s`: `build.network` is refused", "compose.yaml:1:54 service `s`: `build.privileged` is refused"}},
		"extends circle":   {"services: { a: { extends: b }, b: { extends: a } }", []string{"compose.yaml:1:18 service `a`: `extends` leads back to the service itself: a → b → a", "compose.yaml:1:37 service `b`: `extends`"}},
		"extends nobody":   {"services: { a: { image: i, extends: b } }", []string{"compose.yaml:1:28 service `a`: it needs the service `b`, which is not there"}},
		"bad flag":         {"services: { s: { image: i, init: 'yes' } }", []string{"compose.yaml:1:34 service `s`: `init` is the text \"yes\"; expected true or false"}},
		"bad port":         {"services: { s: { image: i, ports: ['80:http', '99999', 0] } }", []string{"compose.yaml:1:36 service `s`: `ports`: \"80:http\" is not a port", "compose.yaml:1:47 service `s`: `ports`: \"99999\"", "compose.yaml:1:56 service `s`: `ports`: \"0\""}},
		"port ranges":      {"services: { s: { image: i, ports: ['1-65535:1-65535', '10000-20000:10000-20000/udp'] } }", nil},
		"bad condition":    {"services: { a: { image: i }, s: { image: i, depends_on: { a: { condition: soon } } } }", []string{"compose.yaml:1:64 service `s`: `depends_on.a.condition`"}},
		"memory":           {"services: { s: { image: i, mem_limit: 2gb, deploy: { resources: { limits: { cpus: 0.25 } } } } }", nil},
		"bad memory":       {"services: { s: { image: i, mem_limit: lots } }", []string{"compose.yaml:1:28 service `s`: `mem_limit` can't be read"}},
		"endless number":   {"services: { s: { image: i, cpus: .inf } }", []string{"compose.yaml:1:28 service `s`: `cpus`"}},
		"same alias":       {"services: { a: { image: i, container_name: other }, other: { image: i } }", []string{"compose.yaml:1:13 service `a`: its further name `other` is a service's own"}},
		"api of old":       {"services: { s: { image: i, volumes_from: [x], net: host, cgroup_parent: / } }", []string{"compose.yaml:1:28 service `s`: `volumes_from` is refused", "compose.yaml:1:47 service `s`: the key `net` is not one of Compose's", "compose.yaml:1:58 service `s`: `cgroup_parent` is refused"}},
		"capabilities":     {"services: { s: { image: i, cap_drop: [all, CAP_CHOWN, 'x y'] } }", []string{"compose.yaml:1:55 service `s`: `cap_drop[2]`: \"x y\" is not a capability"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := inProject(map[string]string{"compose.yaml": tt.file}, "")
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			got := faultsOf(t, err)
			require.Len(t, got, len(tt.want), strings.Join(got, "\n"))
			for i := range got {
				require.True(t, strings.HasPrefix(got[i], tt.want[i]), "want %s\ngot  %s", tt.want[i], strings.Join(got, "\n"))
			}
		})
	}
}

// TestEveryRefusedKeyIsRefused asks for every key that is refused, and for one that nobody knows.
func TestEveryRefusedKeyIsRefused(t *testing.T) {
	t.Parallel()
	for _, k := range append(slices.Sorted(maps.Keys(serviceRules)), "nonsense") {
		r, known := serviceRules[k]
		if known && r.class != refused {
			continue
		}
		_, err := inProject(map[string]string{"compose.yaml": "services:\n  s:\n    image: i\n    " + k + ": [x]\n"}, "")
		got := faultsOf(t, err)
		require.Len(t, got, 1, k)
		require.True(t, strings.HasPrefix(got[0], "compose.yaml:4:5 service `s`: "), got[0])
		require.Contains(t, got[0], "`"+k+"`")
		_, err = ParseFreestyle([]byte(`{"script": "x", "services": {"s": {"image": "i", "` + k + `": {"a": 1}}}}`))
		require.Len(t, faultsOf(t, err), 1, k)
	}
}
