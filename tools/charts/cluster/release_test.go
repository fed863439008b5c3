package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"ci/tools/charts"
)

// release is Helm's for the release one of a namespace.
type release struct {
	t  *testing.T
	ns string
	*action.Configuration
}

func newRelease(t *testing.T, ns string) *release {
	t.Helper()
	definitions(t)
	flags := genericclioptions.NewConfigFlags(false)
	cache := t.TempDir()
	flags.Namespace, flags.CacheDir = &ns, &cache
	flags.WrapConfigFn = func(*rest.Config) *rest.Config { return rest.CopyConfig(server.config) }
	r := &release{t, ns, new(action.Configuration)}
	require.NoError(t, r.Init(flags, ns, "secret", func(string, ...any) {}))
	return r
}

func (r *release) install(v map[string]any) {
	r.t.Helper()
	c, err := loader.LoadDir(charts.Dir)
	require.NoError(r.t, err)
	i := action.NewInstall(r.Configuration)
	i.ReleaseName, i.Namespace = "one", r.ns
	_, err = i.RunWithContext(r.t.Context(), c, v)
	require.NoError(r.t, err)
}

func (r *release) upgrade(v map[string]any) {
	r.t.Helper()
	c, err := loader.LoadDir(charts.Dir)
	require.NoError(r.t, err)
	u := action.NewUpgrade(r.Configuration)
	u.Namespace, u.ResetValues = r.ns, true
	_, err = u.RunWithContext(r.t.Context(), "one", c, v)
	require.NoError(r.t, err)
}

func (r *release) uninstall() {
	r.t.Helper()
	_, err := action.NewUninstall(r.Configuration).Run("one")
	require.NoError(r.t, err)
}

// contents are all objects of a namespace but its events, as KIND/NAME.
func contents(t *testing.T, ns string) (all []string) {
	t.Helper()
	lists, err := server.Discovery().ServerPreferredNamespacedResources()
	require.NoError(t, err)
	for _, list := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "get"}}, lists) {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		require.NoError(t, err)
		for _, r := range list.APIResources {
			if r.Kind == "Event" {
				continue
			}
			got, err := server.dynamic.Resource(gv.WithResource(r.Name)).Namespace(ns).List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err, r.Name)
			for _, o := range got.Items {
				all = append(all, o.GetKind()+"/"+o.GetName())
			}
		}
	}
	slices.Sort(all)
	return all
}

// kept are those of a namespace's objects that Helm has put there for the release.
func kept(t *testing.T, ns string) (all []string) {
	t.Helper()
	for _, name := range contents(t, ns) {
		kind, _, _ := strings.Cut(name, "/")
		if !strings.HasPrefix(name, "Secret/sh.helm.release.") && !slices.Contains([]string{"Pod", "ReplicaSet", "ControllerRevision"}, kind) {
			all = append(all, name)
		}
	}
	return all
}

// TestRelease installs the chart, changes nearly all of it twice, and removes it.
// Each time that is there which the chart says, and nothing of before; at the
// end there is what was before.
func TestRelease(t *testing.T) {
	ns := namespace(t, "release", nil)
	r := newRelease(t, ns)
	before := contents(t, ns)
	for i, files := range [][]string{charts.ValueFiles["least"], charts.ValueFiles["token"], charts.ValueFiles["most"]} {
		v := charts.Values(t, files...)
		if i == 0 {
			r.install(v)
		} else {
			r.upgrade(v)
		}
		want := slices.Clone(before)
		for _, o := range charts.Objects(t, v) {
			want = append(want, o.GetKind()+"/"+o.GetName())
		}
		slices.Sort(want)
		eventually(t, func() error {
			if got := kept(t, ns); !slices.Equal(want, got) {
				return fmt.Errorf("after %v there are %v, not %v", files, got, want)
			}
			return nil
		})
	}
	r.uninstall()
	eventually(t, func() error {
		if got := contents(t, ns); !slices.Equal(before, got) {
			return fmt.Errorf("there are %v, not %v", got, before)
		}
		return nil
	})
}
