package docker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// project is a repository with files; a name that ends in "@" is a link to its text.
func project(t *testing.T, files map[string]string) *repository {
	t.Helper()
	r := newRepository(t)
	for name, text := range files {
		at := filepath.Join(r.dir, strings.TrimSuffix(name, "@"))
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		if strings.HasSuffix(name, "@") {
			require.NoError(t, os.Symlink(text, at))
			continue
		}
		require.NoError(t, os.WriteFile(at, []byte(text), 0o644))
	}
	r.commit(t, "the project")
	return r
}

// building is an order that runs script in what a Dockerfile of r's newest commit makes.
func building(r *repository, script string, change ...func(*ci.Build)) runner.Order {
	b := &ci.Build{Dockerfile: "Dockerfile", Context: "."}
	for _, c := range change {
		c(b)
	}
	return order(script, from(r.url, r.shas[len(r.shas)-1], 1), func(o *runner.Order) { o.Spec.Environment.Build = b })
}

// story is a Teller that remembers.
type story struct {
	mu     sync.Mutex
	steps  map[string]string
	took   map[string]time.Duration
	images []ci.RunImage
	quiet
}

func (s *story) Step(name string) func(string) {
	began := time.Now()
	return func(detail string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.steps == nil {
			s.steps, s.took = map[string]string{}, map[string]time.Duration{}
		}
		s.steps[name], s.took[name] = detail, time.Since(began)
	}
}

func (s *story) Image(im ci.RunImage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images = append(s.images, im)
}

func told(o *runner.Order) *story {
	s := &story{}
	o.Tell = s
	return s
}

// agent is a driver whose built images are removed with the test.
func agent(t *testing.T, change ...func(*Config)) *Driver {
	t.Helper()
	cfg := config("build-" + strings.ReplaceAll(t.Name(), "/", "-"))
	cfg.Dir = t.TempDir()
	for _, c := range change {
		c(&cfg)
	}
	d := opened(t, cfg)
	t.Cleanup(func() { removeBuilt(t, d) })
	return d
}

func builtTags(t *testing.T, d *Driver) []string {
	t.Helper()
	list, err := engine.ImageList(context.Background(), dockerimage.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", "ci-build:"+d.short()+"-*"))})
	require.NoError(t, err)
	var tags []string
	for _, im := range list {
		tags = append(tags, im.RepoTags...)
	}
	return tags
}

func removeBuilt(t *testing.T, d *Driver) {
	t.Helper()
	for _, tag := range builtTags(t, d) {
		_, err := engine.ImageRemove(context.Background(), tag, dockerimage.RemoveOptions{PruneChildren: true})
		if err != nil && !notFound(err) {
			t.Errorf("%s: %v", tag, err)
		}
	}
}

func prepared(t *testing.T, d *Driver, o runner.Order) (*box, string, error) {
	t.Helper()
	var console output
	got, err := d.Prepare(t.Context(), o, &console)
	if err != nil {
		return nil, console.String(), err
	}
	b := got.(*box)
	t.Cleanup(func() { require.NoError(t, b.Remove(context.Background())) })
	return b, console.String(), nil
}

// A Dockerfile as production has them: stages, arguments, a cache, heredocs, a
// syntax line, an ignore file, and nothing in the end but what was made.
const production = `# syntax=docker/dockerfile:1
ARG BASE
FROM ${BASE} AS tools
ARG GREETING=hello
RUN --mount=type=cache,target=/cache <<EOT
  set -e
  echo "$GREETING from the build" > /made
  date >> /cache/builds
  wc -l < /cache/builds
EOT
COPY <<EOT /conf
greeting=$GREETING
EOT
COPY . /src
RUN cd /src && ls -a && test ! -e secret.txt && test ! -e .git

FROM tools AS test
RUN echo this stage is not built && false

FROM scratch
COPY --from=tools /made /conf /
COPY --from=tools /src/file /file
ENV FROM_BUILD=yes
USER 1234
ENTRYPOINT ["/never"]
`

func TestBuild(t *testing.T) {
	t.Parallel()
	d := agent(t)
	r := project(t, map[string]string{
		"Dockerfile": production, ".dockerignore": "*.txt\n# a comment\n", "secret.txt": "no", "out@": "/etc",
	})
	o := building(r, "cat /made /conf /file; echo $FROM_BUILD; pwd; cat file", func(b *ci.Build) {
		b.Args = map[string]string{"BASE": busyBase, "GREETING": "good day"}
	})
	first := told(&o)
	b, console, err := prepared(t, d, o)
	require.NoError(t, err, console)
	require.Contains(t, console, "Building Dockerfile")
	require.Contains(t, console, "RUN --mount=type=cache,target=/cache")
	require.Contains(t, console, ".dockerignore")
	require.NotContains(t, console, "secret.txt\n")
	require.Equal(t, "built", first.steps["environment"])
	require.Len(t, first.images, 1)
	require.Equal(t, ci.RunImage{For: "environment", Reference: "Dockerfile", Digest: first.images[0].Digest}, first.images[0])
	require.True(t, strings.HasPrefix(first.images[0].Digest, "sha256:"))

	var script output
	exit, err := b.Run(t.Context(), func() {}, &script)
	require.NoError(t, err)
	require.Zero(t, exit.Code, script.String())
	require.Equal(t, "good day from the build\ngreeting=good day\nversion 2\nyes\n/workspace\nversion 2\n", script.String())

	// The same again is not built, not even from another commit with the same files.
	r.git(t, "commit", "--quiet", "--allow-empty", "-m", "nothing new")
	again := building(r, "cat /made", func(b *ci.Build) { b.Args = o.Spec.Environment.Build.Args })
	again.Checkout.CommitSHA = r.git(t, "rev-parse", "HEAD")
	second := told(&again)
	_, console, err = prepared(t, d, again)
	require.NoError(t, err)
	require.Equal(t, "cached", second.steps["environment"], console)
	require.Equal(t, first.images, second.images)
	require.Len(t, builtTags(t, d), 1)
	t.Log("first", first.took, "second", second.took)
}

// Whatever makes another image makes another key.
func TestBuildAgainWhenSomethingChanged(t *testing.T) {
	t.Parallel()
	d := agent(t)
	r := project(t, map[string]string{
		"Dockerfile":     fmt.Sprintf("FROM %s AS a\nARG X=1\nCOPY file /\nFROM a AS b\nENV B=b\n", busyBase),
		"sub/Dockerfile": fmt.Sprintf("FROM %s\nCOPY . /sub\n", busyBase), "sub/file": "of sub\n",
	})
	seen := map[string]string{}
	build := func(name, want string, change ...func(*ci.Build)) {
		o := building(r, "true", change...)
		s := told(&o)
		_, console, err := prepared(t, d, o)
		require.NoError(t, err, name)
		require.Equal(t, want, s.steps["environment"], "%s: %s", name, console)
		seen[s.images[0].Digest] = name
	}
	build("first", "built")
	build("repeated", "cached")
	build("target", "built", func(b *ci.Build) { b.Target = "a" })
	build("argument", "built", func(b *ci.Build) { b.Args = map[string]string{"X": "2"} })
	build("another folder", "built", func(b *ci.Build) { b.Context, b.Dockerfile = "sub", "sub/Dockerfile" })
	build("a Dockerfile beside its context", "built", func(b *ci.Build) { b.Context = "sub" })
	require.NoError(t, os.Chmod(filepath.Join(r.dir, "file"), 0o755))
	r.commit(t, "mode")
	build("mode", "built")
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "new"), nil, 0o644))
	r.commit(t, "new file")
	build("new file", "built")
	build("the other folder again", "cached", func(b *ci.Build) { b.Context, b.Dockerfile = "sub", "sub/Dockerfile" })
}

func TestBuildsThatFail(t *testing.T) {
	t.Parallel()
	d := agent(t)
	tests := []struct {
		name, dockerfile string
		change           func(*ci.Build)
		says             []string
	}{
		{"half way", "FROM %s\nRUN echo one\nRUN echo the reason; exit 3\nRUN echo never\n", nil, []string{"Dockerfile can't be built", "RUN echo the reason; exit 3", "exit code: 3", "the reason"}},
		{"unknown instruction", "FROM %s\nRUNN echo\n", nil, []string{"Dockerfile", "line 2", "unknown instruction: RUNN"}},
		{"no such file", "FROM %s\nCOPY nothere /\n", nil, []string{"COPY nothere /", "not found"}},
		{"no such stage", "FROM %s\n", func(b *ci.Build) { b.Target = "prod" }, []string{`target stage "prod" could not be found`}},
		{"empty", "# %s\n", nil, []string{"Dockerfile", "can't be built: file with no instructions"}},
		{"no such base", "FROM localhost:1/none:1\n# %s\n", nil, []string{"image localhost:1/none:1 can't be pulled"}},
		{"an agent's image", "FROM ci-build:x\n# %s\n", nil, []string{"belong to the agents"}},
		{"an agent's image by copy", "FROM %s\nCOPY --from=ci-toolbox:x / /\n", nil, []string{"belong to the agents"}},
		{"no Dockerfile", "FROM %s\n", func(b *ci.Build) { b.Dockerfile = "ci/Dockerfile" }, []string{"ci/Dockerfile can't be read"}},
		{"no context", "FROM %s\n", func(b *ci.Build) { b.Context = "nothere" }, []string{"context nothere can't be opened"}},
		{"a context beyond the checkout", "FROM %s\n", func(b *ci.Build) { b.Context = ".." }, []string{"can't be opened"}},
		{"a context by a link", "FROM %s\n", func(b *ci.Build) { b.Context = "etc" }, []string{"can't be opened"}},
		{"a Dockerfile by a link", "FROM %s\n", func(b *ci.Build) { b.Dockerfile = "etc/passwd" }, []string{"can't be read"}},
		{"an image by its id", "# %s\nFROM sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n", nil, []string{"the id of one", "name its repository"}},
		{"an image of no name", "ARG NONE\n# %s\nFROM ${NONE}\n", nil, []string{"Dockerfile, line 3", "base name", "should not be blank"}},
		{"an image with an impossible name", "# %s\nFROM Debian:12\n", nil, []string{"Debian:12"}},
		{"a secret", "FROM %s\nRUN true\nRUN --mount=type=secret,id=npmrc,required true\n", nil, []string{"Dockerfile, line 3", "id=npmrc", "a build gets no secrets"}},
		{"an SSH key", "FROM %s\n\nRUN --mount=type=ssh,required true\n", nil, []string{"Dockerfile, line 3", "a build gets no SSH key"}},
		{"the host's network", "FROM %s\nRUN --network=host ip a\n", nil, []string{"Dockerfile, line 2", "--network=host would give"}},
		{"all rights", "FROM %s\nRUN --security=insecure ip a\n", nil, []string{"--security=insecure would give"}},
		{"the engine fetches", "FROM %s\nADD http://169.254.169.254/latest/meta-data /x\n", nil, []string{"would be fetched by the engine itself"}},
		{"the engine clones", "FROM %s\nADD git://127.0.0.1/x.git /x\n", nil, []string{"would be fetched by the engine itself"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := project(t, map[string]string{"Dockerfile": fmt.Sprintf(test.dockerfile, busyBase), "etc@": "/etc"})
			o := building(r, "true")
			if test.change != nil {
				test.change(o.Spec.Environment.Build)
			}
			_, console, err := prepared(t, d, o)
			for _, says := range test.says {
				require.ErrorContains(t, err, says, console)
			}
			t.Log(err)
			for _, left := range objects(t, d) {
				if run, ok := left.run(); ok && run == o.Run {
					t.Errorf("left behind: %s", left.name)
				}
			}
		})
	}
}

// A step of a build reaches nothing of the machine that it runs on either.
func TestBuildIsWalled(t *testing.T) {
	t.Parallel()
	secret := listen(t)
	d := agent(t)
	var closed []string
	for _, ip := range append(addresses(t), "$(ip route | awk '/^default/ {print $3}')") {
		closed = append(closed, fmt.Sprintf("%s:%d", ip, secret))
	}
	closed = append(closed, "169.254.169.254:80")
	r := project(t, map[string]string{
		"Dockerfile": fmt.Sprintf("FROM %s\nCOPY knock /\nRUN /bin/sh /knock >/answers; ip addr >>/answers\n", busyBase), "knock": knock(closed...),
	})
	b, console, err := prepared(t, d, building(r, "cat /answers"))
	require.NoError(t, err, console)
	var script output
	_, err = b.Run(t.Context(), func() {}, &script)
	require.NoError(t, err)
	require.Contains(t, script.String(), "eth0", "the step had no network to try")
	require.Equal(t, len(closed), strings.Count(script.String(), "closed\n"), script.String())
	require.NotContains(t, script.String(), "open")
}

// Dockerfiles that differ in one letter, at once and one after the other, are
// never taken for each other.
func TestBuildsOfTheSameSize(t *testing.T) {
	t.Parallel()
	d := agent(t)
	for _, n := range []string{"a", "b", "c", "d"} {
		t.Run(n, func(t *testing.T) {
			t.Parallel()
			for _, then := range []string{n, n + "x"} {
				r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nCOPY name /\nENV N=%s\n", busyBase, then[len(then)-1:]+n), "name": n + "\n"})
				b, console, err := prepared(t, d, building(r, "echo $N; cat /name"))
				require.NoError(t, err, console)
				var script output
				_, err = b.Run(t.Context(), func() {}, &script)
				require.NoError(t, err)
				require.Equal(t, then[len(then)-1:]+n+"\n"+n+"\n", script.String())
			}
		})
	}
}
