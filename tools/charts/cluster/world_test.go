package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"ci/tools/charts"
)

// eventually waits until f has no error.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	require.NoError(t, err, "after %v", limit)
}

// namespace makes one that goes with the test.
func namespace(t *testing.T, name string, labels map[string]string) string {
	t.Helper()
	_, err := server.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, server.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{}))
	})
	// No pod is admitted without it, and it comes a moment later.
	eventually(t, func() error {
		_, err := server.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		if err == nil {
			_, err = server.CoreV1().ConfigMaps(name).Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{})
		}
		return err
	})
	return name
}

// definitions teaches the server the kinds of KEDA and Prometheus, by their own
// definitions.
func definitions(t *testing.T) {
	t.Helper()
	kind := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	for _, text := range [][]byte{
		charts.KEDADefinition(t, "scaledobjects"), charts.KEDADefinition(t, "triggerauthentications"), charts.MonitorDefinition(t),
	} {
		var crd unstructured.Unstructured
		require.NoError(t, yaml.Unmarshal(text, &crd.Object))
		_, err := server.dynamic.Resource(kind).Create(t.Context(), &crd, metav1.CreateOptions{})
		require.True(t, err == nil || errors.IsAlreadyExists(err), "%v", err)
		eventually(t, func() error {
			got, err := server.dynamic.Resource(kind).Get(t.Context(), crd.GetName(), metav1.GetOptions{})
			if err != nil {
				return err
			}
			conditions, _, err := unstructured.NestedSlice(got.Object, "status", "conditions")
			if err == nil && !slices.ContainsFunc(conditions, func(c any) bool {
				m := c.(map[string]any)
				return m["type"] == string(apiextensionsv1.Established) && m["status"] == "True"
			}) {
				err = fmt.Errorf("%s is not established: %v", crd.GetName(), conditions)
			}
			return err
		})
	}
}

// pods waits until n pods of a part of the release are there that nobody has
// asked to leave.
func pods(t *testing.T, ns, part string, n int) (all []corev1.Pod) {
	t.Helper()
	eventually(t, func() error {
		list, err := server.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + part})
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(list.Items, leaves)
		if len(all) != n {
			return fmt.Errorf("%s has %d pods of %s, not %d", ns, len(all), part, n)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func leaves(p corev1.Pod) bool { return p.DeletionTimestamp != nil }

// serve puts a pod on a node, and reports of it what a kubelet reports of one
// that serves.
func serve(t *testing.T, pod corev1.Pod) {
	t.Helper()
	api := server.CoreV1().Pods(pod.Namespace)
	require.NoError(t, api.Bind(t.Context(), &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: "node"},
	}, metav1.CreateOptions{}))
	got, err := api.Get(t.Context(), pod.Name, metav1.GetOptions{})
	require.NoError(t, err)
	now := metav1.Now()
	got.Status.Phase, got.Status.StartTime = corev1.PodRunning, &now
	for _, kind := range []corev1.PodConditionType{corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		got.Status.Conditions = append(got.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	started := true
	for _, c := range got.Spec.Containers {
		got.Status.ContainerStatuses = append(got.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Ready: true, Started: &started,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	_, err = api.UpdateStatus(t.Context(), got, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// end reports that a pod which was asked to leave has ended.
func end(t *testing.T, pod corev1.Pod) {
	t.Helper()
	options := metav1.NewDeleteOptions(0)
	options.Preconditions = metav1.NewUIDPreconditions(string(pod.UID))
	require.NoError(t, server.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, *options))
}

// leaving waits until n pods of a namespace have been asked to leave.
func leaving(t *testing.T, ns string, n int) (all []corev1.Pod) {
	t.Helper()
	eventually(t, func() error {
		list, err := server.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return !leaves(p) })
		if len(all) != n {
			return fmt.Errorf("%s has %d pods that leave, not %d", ns, len(all), n)
		}
		return nil
	})
	return all
}
