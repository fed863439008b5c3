package docker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// removeKept removes with the test what the agent has pulled.
func removeKept(t *testing.T, d *Driver) {
	t.Helper()
	t.Cleanup(func() {
		for ref := range d.keeper.state.Images {
			_, err := engine.ImageRemove(context.Background(), ref, dockerimage.RemoveOptions{PruneChildren: true})
			if err != nil && !notFound(err) {
				t.Errorf("%s: %v", ref, err)
			}
		}
	})
}

func using(a accounts) func(*runner.Order) {
	return func(o *runner.Order) { o.Registries = a }
}

// labelled makes an image that no other test has, so that it can be removed.
func labelled(t *testing.T) string {
	t.Helper()
	ref := "ci-test:" + strings.ToLower(strings.NewReplacer("/", "-", "'", "").Replace(t.Name())) + fmt.Sprintf("-%d", os.Getpid())
	require.NoError(t, importImage(t.Context(), ref, map[string]string{"of": t.Name()}, nil, "LABEL of="+strings.ReplaceAll(t.Name(), "/", "-")))
	t.Cleanup(func() {
		_, err := engine.ImageRemove(context.Background(), ref, dockerimage.RemoveOptions{})
		if err != nil && !notFound(err) {
			t.Error(err)
		}
	})
	return ref
}

// gone takes an image from the engine, so that it has to be pulled.
func gone(t *testing.T, ref string) {
	t.Helper()
	_, err := engine.ImageRemove(t.Context(), ref, dockerimage.RemoveOptions{PruneChildren: true})
	require.NoError(t, err)
}

// An image is pulled with the account of its registry, once, and its digest recorded.
func TestPull(t *testing.T) {
	t.Parallel()
	d := agent(t)
	removeKept(t, d)
	private := newRegistry(t, "a secret")
	local := labelled(t)
	digest := private.put(t, local, "team/app:1")
	private.put(t, local, "team/app:latest")
	gone(t, local)
	ref := private.host + "/team/app:1"

	_, _, err := prepared(t, d, order("", inImage(ref)))
	require.ErrorContains(t, err, "refuses to give it out")
	require.ErrorContains(t, err, "there is no account for it")
	wrong := accounts{{Host: private.host, Username: "tester", Password: "another"}}
	_, _, err = prepared(t, d, order("", inImage(ref), using(wrong)))
	require.ErrorContains(t, err, "does not accept the account")
	require.NotContains(t, err.Error(), "another")
	_, _, err = prepared(t, d, order("", inImage(private.host+"/team/app:2"), using(private.account)))
	require.ErrorContains(t, err, "does not have it")
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))

	for _, how := range []string{pulled, wasThere} {
		o := order("cat /of", inImage(ref), using(private.account))
		s := told(&o)
		b, console, err := prepared(t, d, o)
		require.NoError(t, err, console)
		require.Equal(t, how, s.steps["environment"])
		require.Equal(t, []ci.RunImage{{For: "environment", Reference: ref, Digest: digest}}, s.images)
		require.Equal(t, how == pulled, strings.Contains(console, "Pulling "+ref), console)
		require.NotContains(t, console, "a secret")
		require.NoError(t, b.Remove(context.Background()))
	}

	// What floats is asked for again: the registry's newer image is found.
	floating := order("", inImage(private.host+"/team/app"), using(private.account))
	s := told(&floating)
	_, _, err = prepared(t, d, floating)
	require.NoError(t, err)
	require.Equal(t, digest, s.images[0].Digest)
	newer := private.put(t, busyBase, "team/app:latest")
	floating.Run = lastRun.Add(1)
	s = told(&floating)
	_, _, err = prepared(t, d, floating)
	require.NoError(t, err)
	require.Equal(t, newer, s.images[0].Digest)
	require.NotEqual(t, digest, newer)
}

// A Dockerfile may build on an image of a registry that asks for an account.
func TestBuildOnAPrivateImage(t *testing.T) {
	t.Parallel()
	d := agent(t)
	removeKept(t, d)
	private := newRegistry(t, "a secret")
	local := labelled(t)
	private.put(t, local, "team/base:1")
	gone(t, local)
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s/team/base:1\nCOPY file /\n", private.host)})
	_, _, err := prepared(t, d, building(r, "true"))
	require.ErrorContains(t, err, "there is no account for it")
	o := building(r, "cat /of")
	o.Registries = private.account
	b, console, err := prepared(t, d, o)
	require.NoError(t, err, console)
	var script output
	_, err = b.Run(t.Context(), func() {}, &script)
	require.NoError(t, err)
	require.Equal(t, t.Name(), script.String())
	require.NoError(t, b.Remove(context.Background()))
}

// What one agent has built another does not build again.
func TestCacheRegistry(t *testing.T) {
	t.Parallel()
	shared := newRegistry(t, "a secret")
	through := func(name string) func(*Config) {
		return func(c *Config) { c.CacheRegistry, c.Agent = shared.host+"/ci/cache", c.Agent+name }
	}
	one, two := agent(t, through("one")), agent(t, through("two"))
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nRUN date +%%s%%N > /stamp\n", busyBase)})
	play := func(d *Driver) (string, string, string) {
		o := building(r, "cat /stamp")
		o.Registries = shared.account
		s := told(&o)
		b, console, err := prepared(t, d, o)
		require.NoError(t, err, console)
		var script output
		_, err = b.Run(t.Context(), func() {}, &script)
		require.NoError(t, err)
		require.NoError(t, b.Remove(context.Background()))
		return s.steps["environment"], script.String(), console
	}
	how, stamp, console := play(one)
	require.Equal(t, "built", how)
	require.NotContains(t, console, "can't be read", "there is nothing in it yet, which is no news")
	one.pushes.Wait()
	key := strings.TrimPrefix(builtTags(t, one)[0], "ci-build:"+one.short()+"-")
	require.NotEmpty(t, shared.digest(t, "ci/cache:"+key))

	how, again, _ := play(two)
	require.Equal(t, "fetched from the cache registry", how)
	require.Equal(t, stamp, again)
	how, _, _ = play(two)
	require.Equal(t, "cached", how)

	// No job gets at it by name.
	_, _, err := prepared(t, two, order("", inImage(shared.host+"/ci/cache:"+key)))
	require.ErrorContains(t, err, "belong to the agents")

	// Something else under the key is not taken for what was built.
	three := agent(t, through("three"))
	shared.put(t, busyBase, "ci/cache:"+key)
	how, _, console = play(three)
	require.Equal(t, "built", how)
	require.Contains(t, console, "not what an agent has built")
	three.pushes.Wait()
}

// A cache registry that does not answer costs nothing but its use.
func TestCacheRegistryIsAway(t *testing.T) {
	t.Parallel()
	d := agent(t, func(c *Config) { c.CacheRegistry = "127.0.0.1:1/cache" })
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nCOPY file /\n", busyBase)})
	o := building(r, "true")
	s := told(&o)
	_, console, err := prepared(t, d, o)
	require.NoError(t, err)
	require.Equal(t, "built", s.steps["environment"])
	require.Contains(t, console, "the cache registry 127.0.0.1:1/cache can't be read")
	for _, bad := range []string{"127.0.0.1:1/cache:tag", "UPPER", "x y"} {
		_, err := New(Config{Agent: "x", Log: d.log, CacheRegistry: bad, Executable: toolbox})
		require.ErrorContains(t, err, "is not HOST/REPOSITORY", bad)
	}
}

// Over its budget an agent removes the images that it has made itself, and
// none that is in use.
func TestImagesLeaveOverTheBudget(t *testing.T) {
	t.Parallel()
	d := agent(t, func(c *Config) { c.ImageBudget = 1 })
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nARG N\nENV N=$N\n", busyBase)})
	build := func(n string) *box {
		b, console, err := prepared(t, d, building(r, "echo $N", func(b *ci.Build) { b.Args = map[string]string{"N": n} }))
		require.NoError(t, err, console)
		return b
	}
	one := build("1")
	two := build("2")
	require.Len(t, builtTags(t, d), 2, "an image in use was removed")
	require.NoError(t, one.Remove(context.Background()))
	require.Len(t, builtTags(t, d), 1)
	var script output
	_, err := two.Run(t.Context(), func() {}, &script)
	require.NoError(t, err)
	require.Equal(t, "2\n", script.String())
	require.NoError(t, two.Remove(context.Background()))
	require.Empty(t, builtTags(t, d))
	_, err = engine.ImageInspect(t.Context(), busyBase)
	require.NoError(t, err, "it is not this agent's")
}

// The list of images outlives the agent, and what it has lost is found again by its tag.
func TestImagesAreKnownAfterARestart(t *testing.T) {
	t.Parallel()
	d := agent(t)
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nCOPY file /\n", busyBase)})
	b, console, err := prepared(t, d, building(r, "true"))
	require.NoError(t, err, console)
	require.NoError(t, b.Remove(context.Background()))
	tag := builtTags(t, d)[0]

	again := newKeeper(d.cfg.Dir, 0, d.log)
	require.True(t, again.has(tag))
	require.Equal(t, d.keeper.secret(), again.secret())

	d.keeper = newKeeper(t.TempDir(), 0, d.log)
	require.False(t, d.keeper.has(tag))
	d.adopt(t.Context())
	require.True(t, d.keeper.has(tag))

	broken := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(broken, "images.json"), []byte("{"), 0o600))
	require.NotEmpty(t, newKeeper(broken, 0, d.log).secret())
}

func TestExcess(t *testing.T) {
	t.Parallel()
	k := newKeeper("", 100, common.log)
	now := time.Now()
	for i, im := range []struct {
		ref    string
		size   int64
		layers []string
	}{
		{"base", 60, []string{"a"}},
		{"on base", 70, []string{"a", "b"}},
		{"other", 50, []string{"c"}},
		{"newest", 20, []string{"d"}},
	} {
		k.add(im.ref, keptImage{ID: "id of " + im.ref, Size: im.size, Layers: im.layers})
		k.state.Images[im.ref].Used = now.Add(time.Duration(i) * time.Minute)
	}
	// 60 + 10 of its own + 50 + 20 = 140
	require.Equal(t, []string{"base"}, k.excess())
	k.hold("id of base")
	require.Equal(t, []string{"on base", "other"}, k.excess())
	k.release("id of base")
	k.touch("base")
	k.state.Images["base"].Used = now.Add(time.Hour)
	require.Equal(t, []string{"on base", "other"}, k.excess())
	k.budget = 1000
	require.Empty(t, k.excess())
}
