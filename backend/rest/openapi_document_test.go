package rest

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"ci/backend/auth"
)

// restRoutes lists the routes that are not RPC, in a stable order.
func restRoutes(t *testing.T) []*Route {
	t.Helper()
	s := newSite(t, func(c *Config) { c.Metrics = http.NotFoundHandler() })
	h := s.server.Config.Handler.(*server)
	var out []*Route
	for _, r := range h.routes.routes {
		if !strings.HasPrefix(r.Pattern, "/ci.v1.") {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *Route) int { return strings.Compare(a.Pattern+" "+a.Method, b.Pattern+" "+b.Method) })
	return out
}

// documenter writes the OpenAPI document.
type documenter struct {
	t        *testing.T
	routes   []*Route
	comments map[string]string // "Run", "Run.id", "GetRun"
	schemas  map[string]yaml.MapSlice
	inputs   map[protoreflect.FullName]bool // messages that requests are made of
}

func newDocument(t *testing.T) *documenter {
	return &documenter{
		t: t, routes: restRoutes(t), comments: protoComments(t),
		schemas: map[string]yaml.MapSlice{}, inputs: map[protoreflect.FullName]bool{},
	}
}

const intro = `REST, by the same methods that Connect, gRPC and gRPC-Web clients call (POST /ci.v1.RunService/GetRun and so on).

Input is read strictly: unknown or doubled fields and parameters, wrong types and trailing bytes are errors. Errors are
application/problem+json (RFC 9457). Run ids are whole numbers that only grow; times are RFC 3339 in UTC; durations are
seconds, as in "90s" ("1h30m" is read too). Every answer has X-Request-Id, which the server's log has too.

HEAD is answered wherever GET is. GET answers have an ETag and take If-None-Match. What is done never
changes again and may be kept for good; anything else says no-store.`

func (d *documenter) build() yaml.MapSlice {
	for _, r := range d.routes {
		if md := bodyOf(d.transcoderOf(r)); md != nil {
			d.markInput(md)
		}
	}
	paths := yaml.MapSlice{}
	byPath := map[string]int{}
	for _, r := range d.routes {
		op := yaml.MapItem{Key: strings.ToLower(r.Method), Value: d.operation(r)}
		if i, ok := byPath[r.Pattern]; ok {
			paths[i].Value = append(paths[i].Value.(yaml.MapSlice), op)
			continue
		}
		byPath[r.Pattern] = len(paths)
		paths = append(paths, yaml.MapItem{Key: r.Pattern, Value: yaml.MapSlice{op}})
	}
	paths = append(paths, d.layers()...)
	return yaml.MapSlice{
		{Key: "openapi", Value: "3.1.0"},
		{Key: "info", Value: yaml.MapSlice{{Key: "title", Value: "ci"}, {Key: "version", Value: "v1"}, {Key: "description", Value: intro}}},
		{Key: "servers", Value: []any{yaml.MapSlice{{Key: "url", Value: "/"}}}},
		{Key: "security", Value: []any{yaml.MapSlice{{Key: "token", Value: []any{}}}}},
		{Key: "paths", Value: paths},
		{Key: "components", Value: d.components()},
	}
}

// layers adds what stands on top of the API, each of which describes itself,
// and returns its paths.
func (d *documenter) layers() (paths yaml.MapSlice) {
	for _, file := range []string{"../pipeline/openapi.yaml", "../signin/openapi.yaml"} {
		part, err := os.ReadFile(file)
		require.NoError(d.t, err)
		var doc struct {
			Paths      yaml.MapSlice
			Components struct{ Schemas map[string]yaml.MapSlice }
		}
		require.NoError(d.t, yaml.UnmarshalWithOptions(part, &doc, yaml.UseOrderedMap(), yaml.Strict()))
		paths = append(paths, doc.Paths...)
		for name, schema := range doc.Components.Schemas {
			require.NotContains(d.t, d.schemas, name, "two schemas have one name")
			d.schemas[name] = schema
		}
	}
	return paths
}

func (d *documenter) components() yaml.MapSlice {
	names := make([]string, 0, len(d.schemas))
	for name := range d.schemas {
		names = append(names, name)
	}
	slices.Sort(names)
	schemas := yaml.MapSlice{}
	for _, name := range names {
		schemas = append(schemas, yaml.MapItem{Key: name, Value: d.schemas[name]})
	}
	schemas = append(schemas, yaml.MapItem{Key: "Problem", Value: problemSchema()})
	return yaml.MapSlice{
		{Key: "securitySchemes", Value: yaml.MapSlice{{Key: "token", Value: yaml.MapSlice{
			{Key: "type", Value: "http"},
			{Key: "scheme", Value: "bearer"},
			{Key: "bearerFormat", Value: "abc.def.ghi"},
			{Key: "description", Value: "A token made with POST /tokens."},
		}}}},
		{Key: "responses", Value: yaml.MapSlice{{Key: "Problem", Value: yaml.MapSlice{
			{Key: "description", Value: "What is wrong, where, and what would be right."},
			{Key: "content", Value: yaml.MapSlice{{Key: "application/problem+json", Value: yaml.MapSlice{{Key: "schema", Value: ref("schemas", "Problem")}}}}},
		}}}},
		{Key: "schemas", Value: schemas},
	}
}

func ref(kind, name string) yaml.MapSlice {
	return yaml.MapSlice{{Key: "$ref", Value: "#/components/" + kind + "/" + name}}
}

func problemSchema() yaml.MapSlice {
	text := func(description string) yaml.MapSlice {
		return yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "description", Value: description}}
	}
	codes := []string{"method_not_allowed", "request_timeout", "unsupported_media_type", "range_not_satisfiable"}
	for code := range titles {
		codes = append(codes, string(code))
	}
	slices.Sort(codes)
	field := yaml.MapSlice{{Key: "type", Value: "object"}, {Key: "required", Value: []string{"path", "message"}}, {Key: "properties", Value: yaml.MapSlice{
		{Key: "path", Value: text("A JSON path (parameters[0].name), a parameter or header, or file:line:column.")},
		{Key: "message", Value: text("What was found, and what would be right.")},
	}}}
	return yaml.MapSlice{
		{Key: "type", Value: "object"},
		{Key: "description", Value: "An error (RFC 9457)."},
		{Key: "required", Value: []string{"type", "title", "status", "detail", "code", "requestId"}},
		{Key: "properties", Value: yaml.MapSlice{
			{Key: "type", Value: text("A URN made of code.")},
			{Key: "title", Value: text("The code in words.")},
			{Key: "status", Value: yaml.MapSlice{{Key: "type", Value: "integer"}, {Key: "description", Value: "The HTTP status."}}},
			{Key: "detail", Value: text("A sentence for people.")},
			{Key: "code", Value: append(text("The failure's kind, for programs."), yaml.MapItem{Key: "enum", Value: codes})},
			{Key: "errors", Value: yaml.MapSlice{{Key: "type", Value: "array"}, {Key: "items", Value: field}}},
			{Key: "requestId", Value: text("Finds the request in the server's log.")},
		}},
	}
}

// roles says who may, for people.
func roles(a auth.Action) string {
	for _, r := range auth.Rules {
		if r.Action == a {
			var names []string
			for _, role := range r.Roles {
				names = append(names, string(role))
			}
			return strings.Join(names, ", ")
		}
	}
	return ""
}

var (
	protoBlock = regexp.MustCompile(`^(message|service) (\w+) \{`)
	protoRPC   = regexp.MustCompile(`^  rpc (\w+)\(`)
	protoField = regexp.MustCompile(`^  (?:optional |repeated )?(?:map<[^>]+>|[\w.]+) (\w+) = \d+`)
)

// protoComments reads the comments of our own .proto files, which descriptors
// in Go don't have. Everything must have one.
func protoComments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../pkg/api/proto/ci/v1/*.proto")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	out := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var pending []string
		block := ""
		for _, line := range strings.Split(string(text), "\n") {
			name := ""
			if c, ok := strings.CutPrefix(strings.TrimSpace(line), "// "); ok {
				pending = append(pending, c)
				continue
			}
			if m := protoBlock.FindStringSubmatch(line); m != nil {
				block, name = m[2], m[2]
			} else if m := protoRPC.FindStringSubmatch(line); m != nil {
				name = m[1]
			} else if m := protoField.FindStringSubmatch(line); m != nil {
				name = block + "." + m[1]
			}
			if name != "" {
				require.NotEmpty(t, pending, "%s: %s has no comment", file, name)
				out[name] = strings.Join(pending, " ")
			}
			pending = nil
		}
	}
	return out
}
