package charts

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chartutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// What the chart's README promises beyond being valid.

func decode[T any](t *testing.T, o Object) *T {
	t.Helper()
	out := new(T)
	require.NoError(t, yaml.UnmarshalStrict(o.Text, out))
	return out
}

func TestAgentsHoldNoRights(t *testing.T) {
	t.Parallel()
	all := Objects(t, Values(t, "testdata/most.yaml"))
	pod := decode[appsv1.Deployment](t, Find(t, all, "Deployment", "-agent")).Spec.Template.Spec
	require.False(t, *pod.AutomountServiceAccountToken)
	require.False(t, pod.HostNetwork || pod.HostPID || pod.HostIPC)
	for _, v := range pod.Volumes {
		require.Nil(t, v.HostPath, "%s is a path of the node", v.Name)
		if v.Secret != nil {
			require.Equal(t, []corev1.KeyToPath{{Key: "secret.key", Path: "secret.key"}}, v.Secret.Items, "an agent signs no tokens")
		}
	}
	binding := decode[rbacv1.RoleBinding](t, Find(t, all, "RoleBinding", "-pod-costs"))
	require.Equal(t, []rbacv1.Subject{{Kind: "ServiceAccount", Name: "builds-cid", Namespace: "builds"}}, binding.Subjects)
	role := decode[rbacv1.Role](t, Find(t, all, "Role", "-pod-costs"))
	require.Equal(t, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"patch"}}}, role.Rules)

	policy := decode[networkingv1.NetworkPolicy](t, Find(t, all, "NetworkPolicy", "-agent")).Spec
	require.Empty(t, policy.Ingress)
	require.ElementsMatch(t, []networkingv1.PolicyType{"Ingress", "Egress"}, policy.PolicyTypes)
	var except []string
	for _, rule := range policy.Egress {
		for _, to := range rule.To {
			if to.IPBlock != nil {
				except = append(except, to.IPBlock.Except...)
			}
		}
	}
	require.Equal(t, []string{"169.254.0.0/16", "10.0.0.0/8"}, except)
}

func TestWithoutCostsCidHasNoRightsEither(t *testing.T) {
	t.Parallel()
	v := Values(t, "testdata/least.yaml")
	v["agent"] = map[string]any{"deletionCost": false}
	all := Objects(t, v)
	for _, o := range all {
		require.NotContains(t, []string{"Role", "RoleBinding"}, o.GetKind())
	}
	pod := decode[appsv1.Deployment](t, Find(t, all, "Deployment", "-cid")).Spec.Template.Spec
	require.False(t, *pod.AutomountServiceAccountToken)
	require.NotContains(t, names(pod.Containers[0].Env), "CID_POD_COSTS")
}

func names(env []corev1.EnvVar) []string {
	var all []string
	for _, e := range env {
		all = append(all, e.Name)
	}
	return all
}

// TestAgentsWithATokenHaveNothingElse sees that no credential of the system is
// in their pods, and of the tokens each pod's own.
func TestAgentsWithATokenHaveNothingElse(t *testing.T) {
	t.Parallel()
	all := Objects(t, Values(t, "testdata/token.yaml"))
	set := decode[appsv1.StatefulSet](t, Find(t, all, "StatefulSet", "-agent"))
	pod := set.Spec.Template.Spec
	c := pod.Containers[0]
	for _, e := range c.Env {
		require.False(t, e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil, "%s is of a Secret", e.Name)
	}
	for _, name := range []string{"CI_AGENT_DATABASE", "CI_AGENT_QUEUE", "CI_AGENT_BLOBS", "CI_AGENT_SECRET_KEY", "CI_S3_ACCESS_KEY", "CI_S3_SECRET_KEY"} {
		require.NotContains(t, names(c.Env), name)
	}
	require.Contains(t, c.Env, corev1.EnvVar{Name: "CI_AGENT_URL", Value: "https://ci.example.com"})
	require.Contains(t, c.Env, corev1.EnvVar{Name: "CI_AGENT_TOKEN_FILE", Value: "/etc/ci/token"})
	require.Contains(t, c.VolumeMounts, corev1.VolumeMount{Name: "tokens", MountPath: "/etc/ci/token", SubPathExpr: "$(CI_AGENT_ID)", ReadOnly: true})
	for _, v := range pod.Volumes {
		require.True(t, v.Secret == nil || v.Secret.SecretName == "one-ci-agent-tokens", v.Name)
	}
	tokens := decode[corev1.Secret](t, Find(t, all, "Secret", "-agent-tokens"))
	require.Equal(t, map[string]string{"one-ci-agent-0": "token.of.first", "one-ci-agent-1": "token.of.second"}, tokens.StringData)

	target := Find(t, all, "ScaledObject", "-agent").Object["spec"].(map[string]any)["scaleTargetRef"].(map[string]any)
	require.Equal(t, "StatefulSet", target["kind"])
	for _, o := range all {
		require.NotContains(t, []string{"Role", "RoleBinding"}, o.GetKind(), "a StatefulSet heeds no deletion costs")
	}
}

func TestCidIsConfined(t *testing.T) {
	t.Parallel()
	pod := decode[appsv1.Deployment](t, Find(t, Objects(t, Values(t, "testdata/most.yaml")), "Deployment", "-cid")).Spec.Template.Spec
	c := pod.Containers[0]
	require.True(t, *pod.SecurityContext.RunAsNonRoot)
	require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
	require.NotNil(t, c.StartupProbe)
	require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
	require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path, "a cid whose database is away is not made better by a restart")
}

// TestSecretsStandInSecrets sees that no pod's description has one.
func TestSecretsStandInSecrets(t *testing.T) {
	t.Parallel()
	for _, o := range Objects(t, Values(t, "testdata/most.yaml")) {
		if o.GetKind() == "Secret" {
			continue
		}
		for _, secret := range []string{"postgres://u:p", "hush", "PRIVATE KEY", "ci.read"} {
			require.NotContains(t, string(o.Text), secret, o.File)
		}
	}
}

// TestScaling sees that who scales is alone with it, and by which figures.
func TestScaling(t *testing.T) {
	t.Parallel()
	most := Objects(t, Values(t, "testdata/most.yaml"))
	require.Nil(t, decode[appsv1.Deployment](t, Find(t, most, "Deployment", "-agent")).Spec.Replicas, "KEDA sets it")
	require.EqualValues(t, 3, *decode[appsv1.Deployment](t, Find(t, most, "Deployment", "-cid")).Spec.Replicas)
	scaled := Find(t, most, "ScaledObject", "-agent")
	spec := scaled.Object["spec"].(map[string]any)
	want := map[string]string{"ci_wanted_cores": "2.975", "ci_wanted_mebibytes": "5222.4"} // 85 % of 3.5 cores and 6144 MiB
	var kinds []string
	for _, trigger := range spec["triggers"].([]any) {
		tr := trigger.(map[string]any)
		kinds = append(kinds, tr["type"].(string))
		meta := tr["metadata"].(map[string]any)
		if metric, ok := meta["valueLocation"].(string); ok {
			require.Equal(t, want[metric], meta["targetValue"])
			require.Equal(t, "http://builds-cid.builds.svc:8080/metrics", meta["url"])
			delete(want, metric)
		}
	}
	require.Empty(t, want)
	require.Equal(t, []string{"metrics-api", "metrics-api", "cpu"}, kinds)

	least := Objects(t, Values(t, "testdata/least.yaml"))
	require.EqualValues(t, 2, *decode[appsv1.Deployment](t, Find(t, least, "Deployment", "-agent")).Spec.Replicas)
	require.Nil(t, decode[appsv1.Deployment](t, Find(t, least, "Deployment", "-cid")).Spec.Replicas, "the HPA sets it")
	Find(t, least, "HorizontalPodAutoscaler", "-cid")
}

// TestAgentsFinishTheirRuns sees what a pod gets before it is killed.
func TestAgentsFinishTheirRuns(t *testing.T) {
	t.Parallel()
	d := decode[appsv1.Deployment](t, Find(t, Objects(t, Values(t, "testdata/least.yaml")), "Deployment", "-agent"))
	require.GreaterOrEqual(t, *d.Spec.Template.Spec.TerminationGracePeriodSeconds, int64(3600))
	require.Equal(t, []string{"ci-agent", "drain", "--wait", "--reason", "Kubernetes ends the pod", "--deadline", "13740s", "--then", "abort"},
		d.Spec.Template.Spec.Containers[0].Lifecycle.PreStop.Exec.Command)
	require.Equal(t, "0", d.Spec.Strategy.RollingUpdate.MaxUnavailable.String(), "new ones come before old ones go")
	require.Equal(t, "false", d.Spec.Template.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"])
}

// TestAbortedRunsHaveTheirGrace sees that a script that is aborted since its pod
// leaves has the time that a job file may ask for, and its run some to end in,
// before the pod is killed.
func TestAbortedRunsHaveTheirGrace(t *testing.T) {
	t.Parallel()
	for set, lead := range map[string]time.Duration{
		`{}`: 11 * time.Minute,
		`agent: {terminationGracePeriodSeconds: 700}`:                11 * time.Minute,
		`agent: {terminationGracePeriodSeconds: 120, abortLead: 30}`: 30 * time.Second,
	} {
		var v map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(set), &v))
		v = chartutil.CoalesceTables(v, Values(t, "testdata/least.yaml"))
		pod := decode[appsv1.Deployment](t, Find(t, Objects(t, v), "Deployment", "-agent")).Spec.Template.Spec
		command := pod.Containers[0].Lifecycle.PreStop.Exec.Command
		deadline, err := time.ParseDuration(command[slices.Index(command, "--deadline")+1])
		require.NoError(t, err)
		require.Positive(t, deadline, set)
		require.Equal(t, lead, time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second-deadline, set)
	}
}

// TestNarrow is the example without "privileged".
func TestNarrow(t *testing.T) {
	t.Parallel()
	all := Objects(t, Values(t, ValueFiles["narrow"]...))
	s := decode[appsv1.Deployment](t, Find(t, all, "Deployment", "-agent")).Spec.Template.Spec.Containers[0].SecurityContext
	require.False(t, *s.Privileged)
	require.Contains(t, s.Capabilities.Add, corev1.Capability("SYS_ADMIN"))
	require.Equal(t, corev1.AppArmorProfileTypeUnconfined, s.AppArmorProfile.Type)
}
