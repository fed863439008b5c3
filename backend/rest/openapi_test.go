package rest

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the generated files anew")

// TestOpenAPI compares the committed document with what the route table and
// the .proto files say today.
func TestOpenAPI(t *testing.T) {
	d := newDocument(t)
	want, err := yaml.MarshalWithOptions(d.build(), yaml.Indent(2), yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("openapi.yaml", want, 0o644))
		return
	}
	require.Equal(t, string(want), string(document), "openapi.yaml is not up to date; run make gen")
}

// TestOpenAPIIsComplete compares the committed document with the route table
// alone: every route is described, and nothing else is.
func TestOpenAPIIsComplete(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths map[string]map[string]struct {
			Summary   string         `yaml:"summary"`
			Responses map[string]any `yaml:"responses"`
		} `yaml:"paths"`
	}
	require.NoError(t, yaml.Unmarshal(document, &doc))
	var described, served []string
	for path, ops := range doc.Paths {
		for method, op := range ops {
			if strings.HasPrefix(path, "/pipelines") || strings.HasPrefix(path, "/sign-in") {
				continue // a layer's, which compares it with its own routes
			}
			described = append(described, strings.ToUpper(method)+" "+path)
			require.NotEmpty(t, op.Summary, path)
			require.NotEmpty(t, op.Responses, path)
		}
	}
	for _, r := range restRoutes(t) {
		served = append(served, r.Method+" "+r.Pattern)
	}
	slices.Sort(described)
	slices.Sort(served)
	require.Equal(t, served, described)
}

// TestOpenAPIRefs follows every reference of the document.
func TestOpenAPIRefs(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	require.NoError(t, yaml.Unmarshal(document, &doc))
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if to, ok := v["$ref"].(string); ok {
				var target any = doc
				for _, part := range strings.Split(strings.TrimPrefix(to, "#/"), "/") {
					m, _ := target.(map[string]any)
					target = m[part]
				}
				require.NotNil(t, target, "%s: %s leads nowhere", at, to)
			}
			for k, sub := range v {
				walk(at+"/"+k, sub)
			}
		case []any:
			for _, sub := range v {
				walk(at, sub)
			}
		}
	}
	walk("", doc)
}

// TestPaths pins the paths that the design promises.
func TestPaths(t *testing.T) {
	t.Parallel()
	var served []string
	for _, r := range restRoutes(t) {
		served = append(served, r.Method+" "+r.Pattern)
	}
	for _, want := range []string{
		"POST /jobs/{name}/runs", "GET /jobs/{name}/runs/{id}", "GET /runs/{id}", "GET /whoami", "GET /jobs/{name}/runs/{id}/queue", "GET /jobs/{name}/runs",
		"POST /jobs/{name}/runs/{id}/abort", "GET /jobs/{name}/runs/{id}/results", "GET /jobs/{name}/runs/{id}/results/console",
		"GET /jobs/{name}/runs/{id}/results/{result}", "GET /jobs/{name}/results", "GET /jobs", "PUT /jobs/{name}",
		"GET /jobs/{name}", "DELETE /jobs/{name}", "GET /runs", "GET /events", "GET /agents", "PUT /agents/{id}/drain", "GET /agents/{id}/drain",
		"DELETE /agents/{id}/drain", "GET /queues", "GET /config", "PUT /config", "POST /tokens", "GET /tokens",
		"DELETE /tokens/{id}", "POST /runs:batch", "GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.yaml",
		"GET /schemas/job.json", "PUT /jobs/{name}/secrets/{key}", "DELETE /jobs/{name}/secrets/{key}", "GET /jobs/{name}/secrets",
		"PUT /ssh-keys/{name}", "GET /ssh-keys/{name}", "GET /ssh-keys", "DELETE /ssh-keys/{name}", "POST /ssh-hosts:scan",
		"PUT /forges/{name}", "GET /forges/{name}", "GET /forges", "DELETE /forges/{name}", "GET /github/deliveries",
		"PUT /github/triggers/{name}", "GET /github/triggers/{name}", "GET /github/triggers", "DELETE /github/triggers/{name}",
		"GET /jobs/{name}/runs/{id}/results/console/times",
	} {
		require.Contains(t, served, want)
	}
}
