package cluster

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"ci/tools/charts"
)

// warnings collects what the server warns of.
type warnings struct {
	sync.Mutex
	all []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.Lock()
	defer w.Unlock()
	w.all = append(w.all, text)
}

// asker lets the server judge objects, and stores none.
type asker struct {
	dynamic dynamic.Interface
	mapper  meta.RESTMapper
	*warnings
}

func newAsker(t *testing.T) *asker {
	t.Helper()
	a := &asker{warnings: &warnings{}, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(server.Discovery()))}
	config := rest.CopyConfig(server.config)
	config.WarningHandler = a.warnings
	var err error
	a.dynamic, err = dynamic.NewForConfig(config)
	require.NoError(t, err)
	return a
}

// ask makes an object as if, with fields that the server doesn't know refused.
func (a *asker) ask(t *testing.T, ns string, o *unstructured.Unstructured) error {
	t.Helper()
	kind := o.GroupVersionKind()
	m, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	require.NoError(t, err)
	require.Equal(t, meta.RESTScopeNameNamespace, m.Scope.Name(), "%s is not of the namespace", o.GetKind())
	_, err = a.dynamic.Resource(m.Resource).Namespace(ns).Create(t.Context(), o,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	return err
}

// TestAccepted sees that the server takes each object as it is, and warns of
// nothing.
func TestAccepted(t *testing.T) {
	definitions(t)
	ns := namespace(t, charts.Namespace, nil)
	for name, files := range charts.ValueFiles {
		t.Run(name, func(t *testing.T) {
			a := newAsker(t)
			for _, o := range charts.Objects(t, charts.Values(t, files...)) {
				require.NoError(t, a.ask(t, ns, o.Unstructured), "%s:\n%s", o.File, o.Text)
			}
			require.Empty(t, a.all)
		})
	}
}

// TestTyposAreRefused sees that the other test can fail, whatever the kind.
func TestTyposAreRefused(t *testing.T) {
	definitions(t)
	ns := namespace(t, "typos", nil)
	a := newAsker(t)
	kinds := map[string]bool{}
	for _, files := range charts.ValueFiles {
		for _, o := range charts.Objects(t, charts.Values(t, files...)) {
			if kinds[o.GetKind()] {
				continue
			}
			kinds[o.GetKind()] = true
			at := o.Object
			if spec, ok := at["spec"].(map[string]any); ok {
				at = spec
			}
			at["typo"] = true
			err := a.ask(t, ns, o.Unstructured)
			require.ErrorContains(t, err, `unknown field`, o.GetKind())
			require.ErrorContains(t, err, `typo`, o.GetKind())
		}
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "Ingress", "ScaledObject", "TriggerAuthentication", "ServiceMonitor"} {
		require.Contains(t, kinds, kind)
	}
}

// TestConfined sees that a namespace which enforces the strictest profile takes
// cid's pods, and not the agents'.
func TestConfined(t *testing.T) {
	ns := namespace(t, "strict", map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	all := charts.Objects(t, charts.Values(t, "testdata/least.yaml"))
	for suffix, taken := range map[string]bool{"-cid": true, "-agent": false} {
		var d appsv1.Deployment
		o := charts.Find(t, all, "Deployment", suffix)
		require.NoError(t, yaml.UnmarshalStrict(o.Text, &d))
		_, err := server.CoreV1().ServiceAccounts(ns).Create(t.Context(), &corev1.ServiceAccount{
			ObjectMeta: metav1.ObjectMeta{Name: d.Spec.Template.Spec.ServiceAccountName},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		pod := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
		pod.Name = d.Name
		_, err = server.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if taken {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "violates PodSecurity")
		}
	}
}
