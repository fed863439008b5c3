// Package charts holds the checks of deploy/helm in a module of its own, since
// Helm and Kubernetes as libraries are larger than the whole project. Those that
// ask a real Kubernetes are in cluster.
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

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	yamlreader "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Dir is the chart. As all paths here it is told from this package's folder.
const Dir = "../../deploy/helm/ci"

// Namespace is the one that charts are rendered for.
const Namespace = "builds"

// ValueFiles are the sets of values that the chart is tried with.
var ValueFiles = map[string][]string{
	"least":  {"testdata/least.yaml"},
	"most":   {"testdata/most.yaml"},
	"none":   {"testdata/none.yaml"},
	"narrow": {"testdata/least.yaml", Dir + "/examples/narrow.yaml"},
	"token":  {"testdata/token.yaml"},
}

// Values reads files over one another, as helm -f does.
func Values(t *testing.T, files ...string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, f := range files {
		v, err := chartutil.ReadValuesFile(f)
		require.NoError(t, err)
		all = chartutil.CoalesceTables(v, all)
	}
	return all
}

// Render is helm template of a release called one. The error is that of the
// schema or of a template.
func Render(t *testing.T, v map[string]any) (map[string]string, error) {
	t.Helper()
	c, err := loader.LoadDir(Dir)
	require.NoError(t, err)
	caps := chartutil.DefaultCapabilities.Copy()
	options := chartutil.ReleaseOptions{Name: "one", Namespace: Namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, v, options, caps)
	if err != nil {
		return nil, err
	}
	return (engine.Engine{Strict: true}).Render(c, all)
}

// Object is one rendered manifest.
type Object struct {
	File string
	Text []byte
	*unstructured.Unstructured
}

// Objects renders the chart and reads what comes out.
func Objects(t *testing.T, v map[string]any) []Object {
	t.Helper()
	rendered, err := Render(t, v)
	require.NoError(t, err)
	var all []Object
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
				all = append(all, Object{file, doc, &unstructured.Unstructured{Object: content}})
			}
		}
	}
	return all
}

// Find returns the only object of a kind whose name ends so.
func Find(t *testing.T, all []Object, kind, suffix string) Object {
	t.Helper()
	var found []Object
	for _, o := range all {
		if o.GetKind() == kind && strings.HasSuffix(o.GetName(), suffix) {
			found = append(found, o)
		}
	}
	require.Len(t, found, 1, "%s …%s", kind, suffix)
	return found[0]
}

// KEDADefinition is KEDA's own definition of a kind of objects.
func KEDADefinition(t *testing.T, plural string) []byte {
	t.Helper()
	return inModule(t, "github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_"+plural+".yaml")
}

// MonitorDefinition is the Prometheus operator's own definition of a ServiceMonitor.
func MonitorDefinition(t *testing.T) []byte {
	t.Helper()
	return inModule(t, "github.com/prometheus-operator/prometheus-operator@v0.90.1", "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml")
}

// inModule is a file of a module that nothing imports.
func inModule(t *testing.T, module, name string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String()+string(out))
	var answer struct{ Dir string }
	require.NoError(t, yaml.Unmarshal(out, &answer))
	text, err := os.ReadFile(filepath.Join(answer.Dir, name))
	require.NoError(t, err)
	return text
}
