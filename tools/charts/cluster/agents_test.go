package cluster

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chartutil"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"ci/tools/charts"
)

// with are values of the chart with other ones over them.
func with(t *testing.T, files []string, set string) map[string]any {
	t.Helper()
	var over map[string]any
	require.NoError(t, yaml.UnmarshalStrict([]byte(set), &over))
	return chartutil.CoalesceTables(over, charts.Values(t, files...))
}

// TestPods sees that the pods are as promised when they have come through the
// server's admission, which adds to them.
func TestPods(t *testing.T) {
	ns := namespace(t, "pods", nil)
	newRelease(t, ns).install(charts.Values(t, charts.ValueFiles["least"]...))
	for _, pod := range pods(t, ns, "agent", 2) {
		require.EqualValues(t, 14400, *pod.Spec.TerminationGracePeriodSeconds)
		require.Equal(t, []string{"ci-agent", "drain", "--wait", "--reason", "Kubernetes ends the pod", "--deadline", "13740s", "--then", "abort"},
			pod.Spec.Containers[0].Lifecycle.PreStop.Exec.Command)
		require.Equal(t, "false", pod.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"])
		require.False(t, hasAccount(pod), "agents have a token of Kubernetes")
	}
	for _, pod := range pods(t, ns, "cid", 1) {
		require.EqualValues(t, 45, *pod.Spec.TerminationGracePeriodSeconds)
		require.EqualValues(t, 5, pod.Spec.Containers[0].Lifecycle.PreStop.Sleep.Seconds)
		require.True(t, hasAccount(pod), "cid can't write deletion costs")
	}
}

func hasAccount(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == accountFolder })
}

// TestEmptiestFirst lets a fleet of three get smaller. cid, with the rights that
// the chart gives it and no other, says which pod has how many runs; the
// ReplicaSet removes the emptiest, and each agent leaves by the hook of its pod.
func TestEmptiestFirst(t *testing.T) {
	ns := namespace(t, "costs", nil)
	newRelease(t, ns).install(with(t, charts.ValueFiles["least"], `agent: { replicas: 3 }`))
	all := pods(t, ns, "agent", 3)
	for _, pod := range all {
		serve(t, pod)
	}
	// Among pods that are alike, the one with the least UID is the first to go:
	// that one gets the most runs.
	slices.SortFunc(all, func(a, b corev1.Pod) int { return strings.Compare(string(a.UID), string(b.UID)) })
	s := newSystem(t, pods(t, ns, "cid", 1)[0])
	s.call(http.MethodPut, "/jobs/wait", map[string]any{"freestyle": map[string]any{
		"script": "sleep 3600", "environment": map[string]any{"image": image(t)},
	}}, nil)
	// Each of these agents is full before the next one is there.
	var agents []*agent
	var last int64
	for i, pod := range all {
		agents = append(agents, s.agent(pod))
		for range 2 - i {
			id, at := s.trigger("wait")
			require.Equal(t, pod.Name, at)
			last = id
		}
	}
	costs(t, all, "200", "100", "0")

	scale(t, ns, 2)
	require.Equal(t, all[2].Name, leaving(t, ns, 1)[0].Name)
	s.leave(agents[2])()

	scale(t, ns, 1)
	gone := leaving(t, ns, 1)[0]
	require.Equal(t, all[1].Name, gone.Name)
	require.EqualValues(t, 14400, *gone.DeletionGracePeriodSeconds)
	wait := s.leave(agents[1])
	// It is drained, and its run goes on.
	costs(t, all[1:2], "50")
	var order struct{ Reason string }
	s.call(http.MethodGet, "/agents/"+gone.Name+"/drain", nil, &order)
	require.Equal(t, "Kubernetes ends the pod", order.Reason)
	s.abort("wait", last)
	wait()
	require.Equal(t, all[0].Name, pods(t, ns, "agent", 1)[0].Name)
	leaving(t, ns, 0)
}

// costs waits until pods have these deletion costs.
func costs(t *testing.T, all []corev1.Pod, want ...string) {
	t.Helper()
	eventually(t, func() error {
		var got []string
		for _, pod := range all {
			now, err := server.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			got = append(got, now.Annotations[corev1.PodDeletionCost])
		}
		if !slices.Equal(want, got) {
			return fmt.Errorf("costs are %q, not %q", got, want)
		}
		return nil
	})
}

// scale is what KEDA's autoscaler would do.
func scale(t *testing.T, ns string, n int32) {
	t.Helper()
	_, err := server.AppsV1().Deployments(ns).UpdateScale(t.Context(), "one-ci-agent", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "one-ci-agent", Namespace: ns}, Spec: autoscalingv1.ScaleSpec{Replicas: n},
	}, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// TestOneAtATime evicts pods as a node's drain does: of each part one goes, and
// the next one only when another serves in its place.
func TestOneAtATime(t *testing.T) {
	ns := namespace(t, "evictions", nil)
	newRelease(t, ns).install(with(t, charts.ValueFiles["least"], `{ agent: { replicas: 3 }, cid: { autoscaling: { enabled: false }, replicas: 3 } }`))
	for _, part := range []string{"cid", "agent"} {
		all := pods(t, ns, part, 3)
		for _, pod := range all {
			serve(t, pod)
		}
		allowed(t, ns, part, 1)
		require.NoError(t, evict(t, all[0]))
		err := evict(t, all[1])
		require.True(t, errors.IsTooManyRequests(err), "%v", err)
		end(t, all[0])
		err = evict(t, all[1])
		require.True(t, errors.IsTooManyRequests(err), "%v", err)
		for _, pod := range pods(t, ns, part, 3) {
			if pod.Spec.NodeName == "" {
				serve(t, pod)
			}
		}
		allowed(t, ns, part, 1)
		require.NoError(t, evict(t, all[1]))
		end(t, all[1])
	}
}

func evict(t *testing.T, pod corev1.Pod) error {
	t.Helper()
	return server.PolicyV1().Evictions(pod.Namespace).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}})
}

// allowed waits until a part's budget allows n disruptions.
func allowed(t *testing.T, ns, part string, n int32) {
	t.Helper()
	eventually(t, func() error {
		b, err := server.PolicyV1().PodDisruptionBudgets(ns).Get(t.Context(), "one-ci-"+part, metav1.GetOptions{})
		if err == nil && b.Status.DisruptionsAllowed != n {
			err = fmt.Errorf("%s: %d disruptions are allowed, not %d", part, b.Status.DisruptionsAllowed, n)
		}
		return err
	})
}

// TestNewBeforeOld upgrades agents: a new one comes, and only when it serves an
// old one goes.
func TestNewBeforeOld(t *testing.T) {
	ns := namespace(t, "upgrade", nil)
	r := newRelease(t, ns)
	r.install(with(t, charts.ValueFiles["least"], `agent: { replicas: 3 }`))
	for _, pod := range pods(t, ns, "agent", 3) {
		serve(t, pod)
	}
	settled(t, ns, 3)
	r.upgrade(with(t, charts.ValueFiles["least"], `agent: { replicas: 3, cpus: 2 }`))
	all := pods(t, ns, "agent", 4)
	leaving(t, ns, 0)
	i := slices.IndexFunc(all, func(p corev1.Pod) bool { return p.Spec.NodeName == "" })
	serve(t, all[i])
	require.NotEqual(t, all[i].Name, leaving(t, ns, 1)[0].Name)
}

// settled waits until a Deployment knows of n pods that serve.
func settled(t *testing.T, ns string, n int32) {
	t.Helper()
	eventually(t, func() error {
		d, err := server.AppsV1().Deployments(ns).Get(t.Context(), "one-ci-agent", metav1.GetOptions{})
		if err == nil && d.Status.AvailableReplicas != n {
			err = fmt.Errorf("%d agents are available, not %d", d.Status.AvailableReplicas, n)
		}
		return err
	})
}

// TestLastFirst lets a fleet with tokens get smaller, and upgrades it: the pods
// have the names that the tokens are for, and the last one goes first.
func TestLastFirst(t *testing.T) {
	ns := namespace(t, "tokens", nil)
	values := func(cpus int) map[string]any {
		return with(t, charts.ValueFiles["token"], fmt.Sprintf(`agent: { tokens: { list: [a, b, c] }, replicas: 3, cpus: %d, autoscaling: { enabled: false } }`, cpus))
	}
	r := newRelease(t, ns)
	r.install(values(4))
	all := pods(t, ns, "agent", 3)
	tokens, err := server.CoreV1().Secrets(ns).Get(t.Context(), "one-ci-agent-tokens", metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, tokens.Data, 3)
	for _, pod := range all {
		require.Contains(t, tokens.Data, pod.Name)
		require.False(t, hasAccount(pod))
		require.EqualValues(t, 14400, *pod.Spec.TerminationGracePeriodSeconds)
		serve(t, pod)
	}

	// An upgrade takes one after the other.
	r.upgrade(values(2))
	for i := len(all) - 1; i >= 0; i-- {
		require.Equal(t, all[i].Name, leaving(t, ns, 1)[0].Name)
		end(t, all[i])
		for _, pod := range pods(t, ns, "agent", 3) {
			if pod.Spec.NodeName == "" {
				require.Equal(t, all[i].Name, pod.Name)
				serve(t, pod)
			}
		}
	}

	for n := int32(2); n > 0; n-- {
		_, err := server.AppsV1().StatefulSets(ns).UpdateScale(t.Context(), "one-ci-agent", &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Name: "one-ci-agent", Namespace: ns}, Spec: autoscalingv1.ScaleSpec{Replicas: n},
		}, metav1.UpdateOptions{})
		require.NoError(t, err)
		gone := leaving(t, ns, 1)[0]
		require.Equal(t, all[n].Name, gone.Name)
		end(t, gone)
	}
}

// TestAutoscalerTakesOver sees that a size which is no longer given becomes 1, as
// the chart's README warns, and that upgrades leave an autoscaler's size alone.
func TestAutoscalerTakesOver(t *testing.T) {
	ns := namespace(t, "autoscaler", nil)
	r := newRelease(t, ns)
	size := func() int32 {
		d, err := server.AppsV1().Deployments(ns).Get(t.Context(), "one-ci-agent", metav1.GetOptions{})
		require.NoError(t, err)
		return *d.Spec.Replicas
	}
	r.install(with(t, charts.ValueFiles["least"], `agent: { replicas: 3 }`))
	require.EqualValues(t, 3, size())
	scaled := func(cpus int) map[string]any {
		return with(t, charts.ValueFiles["least"], fmt.Sprintf(`{ agent: { cpus: %d, autoscaling: { enabled: true } }, readToken: { existingSecret: read } }`, cpus))
	}
	r.upgrade(scaled(4))
	require.EqualValues(t, 1, size())
	scale(t, ns, 7)
	r.upgrade(scaled(2))
	require.EqualValues(t, 7, size())
}
