package jobfile

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	composego "github.com/compose-spec/compose-go/v2/schema"
	"github.com/stretchr/testify/require"
)

// object is a part of a JSON Schema.
type object = map[string]any

// composeSchema is one version of Compose's schema.
type composeSchema struct {
	root object
}

func readComposeSchema(t *testing.T, data []byte) *composeSchema {
	t.Helper()
	var root object
	require.NoError(t, json.Unmarshal(data, &root))
	return &composeSchema{root}
}

// composeSchemas are compose-go's own, and the project's copy where it is.
func composeSchemas(t *testing.T) map[string]*composeSchema {
	t.Helper()
	all := map[string]*composeSchema{"compose-go": readComposeSchema(t, []byte(composego.Schema))}
	data, err := os.ReadFile(filepath.Join(composeData, "compose-spec.schema.json"))
	if err != nil {
		t.Logf("the published schema is not beside the project, so only compose-go's is looked at: %v", err)
		return all
	}
	all["published"] = readComposeSchema(t, data)
	return all
}

// resolve follows a reference.
func (s *composeSchema) resolve(o object) object {
	for {
		ref, ok := o["$ref"].(string)
		if !ok {
			return o
		}
		o = s.root
		for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
			o = o[step].(object)
		}
	}
}

// properties are those of every form that an object may have, however it is put together.
func (s *composeSchema) properties(o object) map[string]object {
	all := map[string]object{}
	o = s.resolve(o)
	own, _ := o["properties"].(object)
	for name, p := range own {
		all[name] = p.(object)
	}
	for _, how := range []string{"allOf", "oneOf", "anyOf"} {
		parts, _ := o[how].([]any)
		for _, part := range parts {
			maps.Copy(all, s.properties(part.(object)))
		}
	}
	return all
}

// inside are the schemas of what a list or an open mapping holds.
func (s *composeSchema) inside(o object) []object {
	var all []object
	o = s.resolve(o)
	if items, ok := o["items"].(object); ok {
		all = append(all, items)
	}
	patterns, _ := o["patternProperties"].(object)
	for pattern, p := range patterns {
		if pattern != "^x-" {
			all = append(all, p.(object))
		}
	}
	for _, how := range []string{"allOf", "oneOf", "anyOf"} {
		parts, _ := o[how].([]any)
		for _, part := range parts {
			all = append(all, s.inside(part.(object))...)
		}
	}
	return all
}

// compare wants the rules of a shape to be those of a schema, all the way down.
func (s *composeSchema) compare(t *testing.T, path string, known *shape, o object, seen map[string]bool) {
	t.Helper()
	if known == nil {
		return
	}
	seen[path] = true
	if known.each != nil {
		found := false
		for _, in := range s.inside(o) {
			if len(s.properties(in)) > 0 {
				found = true
				s.compare(t, path+"[]", known.each, in, seen)
			}
		}
		require.True(t, found, "%s holds nothing with keys", path)
	}
	if known.keys == nil {
		return
	}
	properties := s.properties(o)
	require.NotEmpty(t, properties, path)
	for name, p := range properties {
		r, ok := known.keys[name]
		if !ok {
			t.Errorf("%s: nobody classified the key %s; decide in composekeys.go whether it is taken, noted, silent or refused", path, name)
			continue
		}
		if r.class == taken && r.in == nil && len(s.properties(p)) > 0 {
			t.Errorf("%s.%s has keys of its own, which nobody classified", path, name)
		}
		if r.class == taken && r.in == nil {
			for _, in := range s.inside(p) {
				require.Empty(t, s.properties(in), "%s.%s holds values with keys, which nobody classified", path, name)
			}
		}
		s.compare(t, path+"."+name, r.in, p, seen)
	}
}

// TestEveryComposeKey fails on every key of Compose's schema that nobody
// classified: of the file, services, builds, healthchecks, volumes, networks,
// deployments, dependencies, and whatever else is taken.
func TestEveryComposeKey(t *testing.T) {
	t.Parallel()
	for name, s := range composeSchemas(t) {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			s.compare(t, "file", &shape{keys: fileRules}, s.root, seen)
			for _, path := range []string{
				"file.services[]", "file.services[].build", "file.services[].healthcheck", "file.services[].depends_on[]", "file.services[].volumes[]",
				"file.services[].networks[]", "file.services[].deploy.resources.limits", "file.volumes[]", "file.networks[]",
			} {
				require.Contains(t, seen, path, "was not looked at")
			}
			require.GreaterOrEqual(t, len(s.properties(s.inside(s.properties(s.root)["services"])[0])), 93)
		})
	}
}

// TestRulesHaveReasons wants every refused and noted key to say why, and none to be unknown to Compose.
func TestRulesHaveReasons(t *testing.T) {
	t.Parallel()
	s := readComposeSchema(t, []byte(composego.Schema))
	var walk func(path string, known *shape, in []object)
	walk = func(path string, known *shape, in []object) {
		if known == nil {
			return
		}
		properties := map[string]object{}
		var inside []object
		for _, o := range in {
			maps.Copy(properties, s.properties(o))
			inside = append(inside, s.inside(o)...)
		}
		walk(path+"[]", known.each, inside)
		for name, r := range known.keys {
			require.Contains(t, properties, name, "%s.%s is not in the schema", path, name)
			if r.class == refused || r.class == noted {
				require.NotEmpty(t, r.why, "%s.%s", path, name)
			}
			walk(path+"."+name, r.in, []object{properties[name]})
		}
	}
	walk("file", &shape{keys: fileRules}, []object{s.root})
}

// definition is the schema of a value of a Compose file, cut to what the rules take.
func (s *composeSchema) definition(o object, known *shape) any {
	o = s.resolve(o)
	out := object{}
	for key, v := range o {
		switch key {
		case "description", "default", "deprecated", "format", "examples", "title", "unevaluatedProperties":
		case "properties", "allOf":
		case "items":
			out[key] = s.definition(v.(object), known.inside())
		case "oneOf", "anyOf":
			var all []any
			for _, part := range v.([]any) {
				all = append(all, s.definition(part.(object), known))
			}
			out[key] = all
		case "patternProperties":
			all := object{}
			for pattern, p := range v.(object) {
				all[pattern] = s.definition(p.(object), known.inside())
			}
			out[key] = all
		default:
			out[key] = v
		}
	}
	properties := s.properties(o)
	if _, union := o["oneOf"]; union || len(properties) == 0 {
		return out
	}
	all := object{}
	for name, p := range properties {
		switch r := known.rule(name); r.class {
		case refused:
			all[name] = object{"description": "Refused: it " + r.why + ".", "enum": []any{nil, false, "", "false", []any{}, object{}}}
		default:
			all[name] = s.definition(p, r.in)
			if r.class == noted {
				all[name] = object{"description": "No effect: " + r.why + "."}
			} else if r.class == silent {
				all[name] = object{}
			} else if r.why != "" {
				all[name].(object)["description"] = strings.ToUpper(r.why[:1]) + r.why[1:] + "."
			}
		}
	}
	out["properties"], out["additionalProperties"], out["patternProperties"] = all, false, object{"^x-": object{}}
	return out
}

func (s *shape) rule(name string) rule {
	if s == nil || s.keys == nil {
		return rule{class: taken}
	}
	return s.keys[name]
}

const serviceDefinition = "    \"service\": "

// TestSchemaHasComposeKeys wants the published schema to hold a service as the
// rules take it. UPDATE=1 writes it.
func TestSchemaHasComposeKeys(t *testing.T) {
	t.Parallel()
	s := readComposeSchema(t, []byte(composego.Schema))
	service := s.inside(s.properties(s.root)["services"])[0]
	definition := s.definition(service, &shape{keys: serviceRules}).(object)
	definition["description"] = "A service in Compose's syntax."
	definition["type"] = []any{"object"}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("    ", "  ")
	require.NoError(t, enc.Encode(definition))
	before, _, found := strings.Cut(string(Schema()), serviceDefinition)
	require.True(t, found)
	want := before + serviceDefinition + strings.TrimRight(b.String(), "\n") + "\n  }\n}\n"
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile("job.schema.json", []byte(want), 0o644)) //nolint:gosec // a file of the project
		return
	}
	require.True(t, want == string(Schema()), "job.schema.json does not have Compose's keys as composekeys.go has them; run this test with UPDATE=1")
	require.Empty(t, slices.DeleteFunc(slices.Collect(maps.Keys(s.properties(service))), func(k string) bool { _, ok := serviceRules[k]; return ok }))
}
