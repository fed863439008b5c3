package charts

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	yamlreader "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const chartDir = "../../deploy/helm/ci"

// valueFiles are the sets of values that the chart is tried with.
var valueFiles = map[string][]string{
	"least":  {"testdata/least.yaml"},
	"most":   {"testdata/most.yaml"},
	"none":   {"testdata/none.yaml"},
	"narrow": {"testdata/least.yaml", chartDir + "/examples/narrow.yaml"},
	"token":  {"testdata/token.yaml"},
}

// values reads files over one another, as helm -f does.
func values(t *testing.T, files ...string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, f := range files {
		v, err := chartutil.ReadValuesFile(f)
		require.NoError(t, err)
		all = chartutil.CoalesceTables(v, all)
	}
	return all
}

// render is helm template for the namespace builds. The error is that of the
// schema or of a template.
func render(t *testing.T, v map[string]any) (map[string]string, error) {
	t.Helper()
	return renderFor(t, "builds", v)
}

func renderFor(t *testing.T, namespace string, v map[string]any) (map[string]string, error) {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	require.NoError(t, err)
	caps := chartutil.DefaultCapabilities.Copy()
	options := chartutil.ReleaseOptions{Name: "one", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, v, options, caps)
	if err != nil {
		return nil, err
	}
	return (engine.Engine{Strict: true}).Render(c, all)
}

// object is one rendered manifest.
type object struct {
	file string
	text []byte
	*unstructured.Unstructured
}

func objects(t *testing.T, v map[string]any) []object {
	t.Helper()
	rendered, err := render(t, v)
	require.NoError(t, err)
	return parse(t, rendered)
}

func parse(t *testing.T, rendered map[string]string) []object {
	t.Helper()
	var all []object
	for file, text := range rendered {
		if !strings.HasSuffix(file, ".yaml") {
			continue
		}
		documents := yamlreader.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
		for {
			doc, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			var content map[string]any
			require.NoError(t, yaml.UnmarshalStrict(doc, &content), "%s:\n%s", file, doc)
			if content != nil {
				all = append(all, object{file, doc, &unstructured.Unstructured{Object: content}})
			}
		}
	}
	return all
}

// find returns the only object of a kind whose name ends so.
func find(t *testing.T, all []object, kind, suffix string) object {
	t.Helper()
	var found []object
	for _, o := range all {
		if o.GetKind() == kind && strings.HasSuffix(o.GetName(), suffix) {
			found = append(found, o)
		}
	}
	require.Len(t, found, 1, "%s …%s", kind, suffix)
	return found[0]
}

// TestStrictly decodes every manifest into the type that Kubernetes has for it,
// and refuses fields that it does not have.
func TestStrictly(t *testing.T) {
	t.Parallel()
	for name, files := range valueFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, o := range objects(t, values(t, files...)) {
				checkType(t, o)
				require.Equal(t, "one", o.GetLabels()["app.kubernetes.io/instance"], o.file)
				require.LessOrEqual(t, len(o.GetName()), 63, o.file)
			}
		})
	}
}

func checkType(t *testing.T, o object) {
	t.Helper()
	kind := schema.FromAPIVersionAndKind(o.GetAPIVersion(), o.GetKind())
	switch kind.Group {
	case "keda.sh":
		checkCustom(t, o)
	case monitoring.GroupName:
		require.Equal(t, "v1/ServiceMonitor", kind.Version+"/"+kind.Kind)
		require.NoError(t, yaml.UnmarshalStrict(o.text, new(monitoringv1.ServiceMonitor)), "%s:\n%s", o.file, o.text)
	default:
		typed, err := scheme.Scheme.New(kind)
		require.NoError(t, err, o.file)
		require.NoError(t, yaml.UnmarshalStrict(o.text, typed), "%s:\n%s", o.file, o.text)
	}
}

// kedaVersion is the release whose own definitions are asked.
const kedaVersion = "github.com/kedacore/keda/v2@v2.21.0"

// checkCustom validates an object of KEDA by KEDA's own definition, and refuses
// fields that this does not have, which Kubernetes would drop.
func checkCustom(t *testing.T, o object) {
	t.Helper()
	plural := map[string]string{"ScaledObject": "scaledobjects", "TriggerAuthentication": "triggerauthentications"}[o.GetKind()]
	var crd apiextensionsv1.CustomResourceDefinition
	require.NoError(t, yaml.Unmarshal(kedaDefinition(t, plural), &crd))
	for _, version := range crd.Spec.Versions {
		if "keda.sh/"+version.Name != o.GetAPIVersion() {
			continue
		}
		var internal apiextensions.JSONSchemaProps
		require.NoError(t, apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &internal, nil))
		validator, _, err := validation.NewSchemaValidator(&internal)
		require.NoError(t, err)
		require.Empty(t, validation.ValidateCustomResource(nil, o.Object, validator), "%s:\n%s", o.file, o.text)
		known(t, o.file, o.Object["spec"], version.Schema.OpenAPIV3Schema.Properties["spec"])
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

// kedaDefinition is KEDA's own definition of a kind of objects.
func kedaDefinition(t *testing.T, plural string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(kedaFolder(t), "config/crd/bases/keda.sh_"+plural+".yaml"))
	require.NoError(t, err)
	return text
}

// kedaFolder is where the go command keeps the module.
func kedaFolder(t *testing.T) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "mod", "download", "-json", kedaVersion)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String()+string(out))
	var answer struct{ Dir string }
	require.NoError(t, yaml.Unmarshal(out, &answer))
	return answer.Dir
}

// TestLint is helm lint: no warnings beside the missing icon.
func TestLint(t *testing.T) {
	t.Parallel()
	for name, files := range valueFiles {
		for _, m := range lint.AllWithKubeVersion(chartDir, values(t, files...), "builds", nil).Messages {
			require.True(t, m.Severity <= support.InfoSev, "%s: %s: %v", name, m.Path, m.Err)
		}
	}
}

// TestDefaultsAreInTheSchema sees that every key of values.yaml is allowed, and
// that every key that is allowed is in values.yaml: else nobody would find it.
func TestDefaultsAreInTheSchema(t *testing.T) {
	t.Parallel()
	c, err := loader.LoadDir(chartDir)
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
		`cid: {podDisruptionBudget: {maxUnavailable: half}}`: "maxUnavailable",
	} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			var v map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(set), &v))
			_, err := render(t, chartutil.CoalesceTables(v, values(t, "testdata/least.yaml")))
			require.ErrorContains(t, err, want)
		})
	}
}
