package charts

import (
	"testing"

	"github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// TestStrictly decodes every manifest into the type that Kubernetes has for it,
// and refuses fields that it does not have.
func TestStrictly(t *testing.T) {
	t.Parallel()
	for name, files := range ValueFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, o := range Objects(t, Values(t, files...)) {
				checkType(t, o)
				require.Equal(t, "one", o.GetLabels()["app.kubernetes.io/instance"], o.File)
				require.LessOrEqual(t, len(o.GetName()), 63, o.File)
			}
		})
	}
}

func checkType(t *testing.T, o Object) {
	t.Helper()
	kind := schema.FromAPIVersionAndKind(o.GetAPIVersion(), o.GetKind())
	switch kind.Group {
	case "keda.sh":
		checkCustom(t, o)
	case monitoring.GroupName:
		require.Equal(t, "v1/ServiceMonitor", kind.Version+"/"+kind.Kind)
		require.NoError(t, yaml.UnmarshalStrict(o.Text, new(monitoringv1.ServiceMonitor)), "%s:\n%s", o.File, o.Text)
	default:
		typed, err := scheme.Scheme.New(kind)
		require.NoError(t, err, o.File)
		require.NoError(t, yaml.UnmarshalStrict(o.Text, typed), "%s:\n%s", o.File, o.Text)
	}
}

// checkCustom validates an object of KEDA by KEDA's own definition, and refuses
// fields that this does not have, which Kubernetes would drop.
func checkCustom(t *testing.T, o Object) {
	t.Helper()
	plural := map[string]string{"ScaledObject": "scaledobjects", "TriggerAuthentication": "triggerauthentications"}[o.GetKind()]
	var crd apiextensionsv1.CustomResourceDefinition
	require.NoError(t, yaml.Unmarshal(KEDADefinition(t, plural), &crd))
	for _, version := range crd.Spec.Versions {
		if "keda.sh/"+version.Name != o.GetAPIVersion() {
			continue
		}
		var internal apiextensions.JSONSchemaProps
		require.NoError(t, apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &internal, nil))
		validator, _, err := validation.NewSchemaValidator(&internal)
		require.NoError(t, err)
		require.Empty(t, validation.ValidateCustomResource(nil, o.Object, validator), "%s:\n%s", o.File, o.Text)
		known(t, o.File, o.Object["spec"], version.Schema.OpenAPIV3Schema.Properties["spec"])
		return
	}
	t.Fatalf("KEDA has no %s %s", o.GetAPIVersion(), o.GetKind())
}

// known refuses fields that a schema does not have.
func known(t *testing.T, at string, value any, s apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if p, ok := s.Properties[key]; ok {
				known(t, at+"."+key, inner, p)
				continue
			}
			require.True(t, s.AdditionalProperties != nil || s.XPreserveUnknownFields != nil, "%s.%s is no field", at, key)
		}
	case []any:
		for _, inner := range v {
			known(t, at+"[]", inner, *s.Items.Schema)
		}
	}
}

// TestLint is helm lint: no warnings beside the missing icon.
func TestLint(t *testing.T) {
	t.Parallel()
	for name, files := range ValueFiles {
		for _, m := range lint.AllWithKubeVersion(Dir, Values(t, files...), Namespace, nil).Messages {
			require.True(t, m.Severity <= support.InfoSev, "%s: %s: %v", name, m.Path, m.Err)
		}
	}
}

// TestDefaultsAreInTheSchema sees that every key of values.yaml is allowed, and
// that every key that is allowed is in values.yaml: else nobody would find it.
func TestDefaultsAreInTheSchema(t *testing.T) {
	t.Parallel()
	c, err := loader.LoadDir(Dir)
	require.NoError(t, err)
	var s node
	require.NoError(t, yaml.Unmarshal(c.Schema, &s))
	delete(s.Properties, "global") // Helm's own
	compare(t, "values", c.Values, s)
}

type node struct {
	Properties map[string]node `json:"properties"`
}

func compare(t *testing.T, at string, value any, s node) {
	t.Helper()
	v, ok := value.(map[string]any)
	if !ok || s.Properties == nil {
		return
	}
	for key, inner := range v {
		require.Contains(t, s.Properties, key, at)
		compare(t, at+"."+key, inner, s.Properties[key])
	}
	for key := range s.Properties {
		require.Contains(t, v, key, "%s: the schema allows what values.yaml does not have", at)
	}
}

// TestNonsenseIsRefused sets one value wrong at a time.
func TestNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{
		`ulr: https://ci.example.com`:                        "ulr",
		`url: ci.example.com`:                                "url",
		`url: ""`:                                            "url",
		`database: {url: "mysql://x"}`:                       "database",
		`database: {existingSecret: "Not_A_Name"}`:           "existingSecret",
		`database: {existingSecret: ""}`:                     "database.url is missing",
		`queue: {existingSecret: ""}`:                        "queue.url is missing",
		`keys: {existingSecret: "", tokenKey: x}`:            "keys.secretKey is missing",
		`blobs: {url: "file:/data"}`:                         "blobs",
		`cid: {replicas: -1}`:                                "replicas",
		`cid: {logLevel: loud}`:                              "logLevel",
		`cid: {env: {"not a name": x}}`:                      "not a name",
		`agent: {memory: 8GB}`:                               "memory",
		`agent: {cpus: 0}`:                                   "cpus",
		`agent: {maxLoad: 85}`:                               "maxLoad",
		`agent: {engineFlags: ["--a --b"]}`:                  "engineFlags",
		`agent: {autoscaling: {enabled: true}}`:              "readToken.token is missing",
		`agent: {connection: telepathy}`:                     "connection",
		`agent: {connection: token}`:                         "agent.tokens.list has 0 tokens for 2 agents",
		`agent: {url: ci.example.com}`:                       "url",
		`agent: {autoscaling: {targetFill: 300}}`:            "targetFill",
		`agent: {replica: 3}`:                                "replica",
		`serviceMonitor: {enabled: true}`:                    "readToken.token is missing",
		`ingress: {enabled: true}`:                           "ingress.host is missing",
		`networkPolicy: {agentExcept: [everything]}`:         "agentExcept",
		`images: {prefix: registry.example.com}`:             "prefix",
		`images: {pullPolicy: Sometimes}`:                    "pullPolicy",
		`lease: soon`:                                        "lease",
		`agent: {terminationGracePeriodSeconds: 0}`:          "terminationGracePeriodSeconds",
		`agent: {terminationGracePeriodSeconds: 660}`:        "agent.terminationGracePeriodSeconds (660) has to be longer than agent.abortLead (660)",
		`agent: {abortLead: 0}`:                              "abortLead",
		`cid: {podDisruptionBudget: {maxUnavailable: half}}`: "maxUnavailable",
	} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			var v map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(set), &v))
			_, err := Render(t, chartutil.CoalesceTables(v, Values(t, "testdata/least.yaml")))
			require.ErrorContains(t, err, want)
		})
	}
}
