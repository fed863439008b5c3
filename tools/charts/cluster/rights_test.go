package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"ci/tools/charts"
)

// as is a client with a token of a pod's service account.
func as(t *testing.T, pod corev1.Pod) *kubernetes.Clientset {
	t.Helper()
	config := rest.CopyConfig(server.config)
	config.BearerToken = token(t, pod)
	c, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return c
}

// rights are what the server says that a client may do in a namespace.
func rights(t *testing.T, c *kubernetes.Clientset, ns string) (all []string) {
	t.Helper()
	review, err := c.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(),
		&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: ns}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.False(t, review.Status.Incomplete)
	for _, rule := range review.Status.ResourceRules {
		all = append(all, fmt.Sprint(rule.Verbs, rule.APIGroups, rule.Resources, rule.ResourceNames))
	}
	for _, rule := range review.Status.NonResourceRules {
		all = append(all, fmt.Sprint(rule.Verbs, rule.NonResourceURLs))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestRights sees that cid's service account may patch pods of its namespace,
// beside what every account may, and the agents' nothing.
func TestRights(t *testing.T) {
	ns, other := namespace(t, "rights", nil), namespace(t, "others", nil)
	newRelease(t, ns).install(charts.Values(t, charts.ValueFiles["least"]...))
	pod, victim := pods(t, ns, "cid", 1)[0], pods(t, ns, "agent", 2)[0]
	stranger, err := server.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "stranger"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	everyone := rights(t, as(t, *stranger), ns)
	require.NotEmpty(t, everyone)

	cid := as(t, pod)
	require.ElementsMatch(t, append(slices.Clone(everyone), "[patch] [] [pods] []"), rights(t, cid, ns))
	require.Equal(t, everyone, rights(t, cid, other))
	require.Equal(t, everyone, rights(t, as(t, victim), ns))

	// The same by trying.
	cost := []byte(`{"metadata":{"annotations":{"` + corev1.PodDeletionCost + `":"7"}}}`)
	patched, err := cid.CoreV1().Pods(ns).Patch(t.Context(), victim.Name, types.MergePatchType, cost, metav1.PatchOptions{})
	require.NoError(t, err)
	require.Equal(t, "7", patched.Annotations[corev1.PodDeletionCost])
	for what, try := range map[string]func() error{
		"read a secret": func() error {
			_, err := cid.CoreV1().Secrets(ns).Get(t.Context(), "db", metav1.GetOptions{})
			return err
		},
		"list pods": func() error {
			_, err := cid.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
			return err
		},
		"delete a pod": func() error { return cid.CoreV1().Pods(ns).Delete(t.Context(), victim.Name, metav1.DeleteOptions{}) },
		"patch a pod's status": func() error {
			_, err := cid.CoreV1().Pods(ns).Patch(t.Context(), victim.Name, types.MergePatchType, cost, metav1.PatchOptions{}, "status")
			return err
		},
		"patch a pod elsewhere": func() error {
			_, err := cid.CoreV1().Pods(other).Patch(t.Context(), victim.Name, types.MergePatchType, cost, metav1.PatchOptions{})
			return err
		},
		"patch a pod as an agent": func() error {
			_, err := as(t, victim).CoreV1().Pods(ns).Patch(t.Context(), victim.Name, types.MergePatchType, cost, metav1.PatchOptions{})
			return err
		},
	} {
		err := try()
		require.True(t, errors.IsForbidden(err), "%s: %v", what, err)
	}
}
