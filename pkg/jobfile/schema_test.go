package jobfile

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// onlyParser lists the bad files that the schema accepts, and why it has to.
var onlyParser = map[string]string{
	"script-nul.yaml":      "a pattern can't find NUL in every editor",
	"timeout-long.yaml":    "a pattern can't add hours and minutes",
	"timeout-zero.yaml":    "a pattern can't add hours and minutes",
	"stop-grace-long.yaml": "a pattern can't add hours and minutes",
	"stop-grace-zero.yaml": "a pattern can't add hours and minutes",
	"memory-small.yaml":    "a pattern can't compare sizes",
	"result-glob.yaml":     "a pattern can't match brackets",

	"compose-broken.yaml":          "the Compose file is another document",
	"compose-not-there.yaml":       "the Compose file is another document",
	"compose-reach.yaml":           "the Compose file is another document",
	"compose-unknown-service.yaml": "the Compose file is another document",
	"compose-v1.yaml":              "the Compose file is another document",
	"services-cycle.yaml":          "a schema does not know what depends on what",
	"services-env-file.yaml":       "a schema reads no files",
	"services-unknown-need.yaml":   "a schema does not know what is there",
	"services-values.yaml":         "Compose's schema takes any text there",
	"services-variables.yaml":      "a pattern can't find the end of a variable",
}

// notInDocument lists the bad files whose fault is in the writing, and gone
// once an editor has made a document for the schema of them.
var notInDocument = map[string]string{
	"duplicate.yaml":     "each key is there once",
	"merge.yaml":         "merge keys are carried out",
	"tag.yaml":           "tags are carried out",
	"octal.yaml":         "numbers are numbers, however they are written",
	"key-number.yaml":    "keys are text",
	"key-alias.yaml":     "aliases are expanded",
	"two-documents.yaml": "it is one document",
	"directive.yaml":     "directives are carried out",
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("job.json", doc))
	s, err := c.Compile("job.json")
	require.NoError(t, err)
	return s
}

// asJSON is the document as an editor sees it.
func asJSON(data []byte) (any, error) {
	var v any
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if err := yaml.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(b))
}

func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	for name, data := range corpus(t, "good") {
		v, err := asJSON(data)
		require.NoError(t, err, name)
		require.NoError(t, s.Validate(v), name)
	}
	bad := corpus(t, "bad")
	for name := range onlyParser {
		require.Contains(t, bad, name, "listed, but not there")
	}
	for name, data := range bad {
		if notInDocument[name] != "" {
			continue
		}
		v, err := asJSON(data)
		refused := err != nil || s.Validate(v) != nil
		require.Equal(t, onlyParser[name] == "", refused, "%s: refused by the schema? (%s)", name, onlyParser[name])
	}
}

// TestSchemaDescribes wants every key to have a description, and the defaults
// to be the parser's.
func TestSchemaDescribes(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	require.NoError(t, json.Unmarshal(Schema(), &doc))
	var walk func(path string, o map[string]any)
	walk = func(path string, o map[string]any) {
		properties, _ := o["properties"].(map[string]any)
		for name, p := range properties {
			p := p.(map[string]any)
			if p["$ref"] == nil {
				require.NotEmpty(t, p["description"], path+name)
			}
			walk(path+name+".", p)
		}
	}
	walk("", doc)
	require.NotEmpty(t, Describe())
}

// withoutRepository takes out of a document what a freestyle job can't have.
func withoutRepository(doc map[string]any) {
	delete(doc, "git")
	delete(doc, "compose")
	delete(doc, "ssh")
	if e, ok := doc["environment"].(map[string]any); ok && e["dockerfile"] != nil {
		delete(doc, "environment")
	}
	services, _ := doc["services"].(map[string]any)
	for name, s := range services {
		s := s.(map[string]any)
		delete(s, "env_file")
		delete(s, "depends_on")
		delete(s, "links")
		if s["build"] != nil {
			delete(services, name)
		}
	}
}

func TestFreestyleAgreesWithParse(t *testing.T) {
	t.Parallel()
	for name, data := range corpus(t, "good") {
		doc, err := asJSON(data)
		require.NoError(t, err, name)
		v := doc.(map[string]any)
		withoutRepository(v)
		b, err := json.Marshal(v)
		require.NoError(t, err)
		want, err := Parse(name, b, nil)
		require.NoError(t, err, name)
		got, err := ParseFreestyle(b)
		require.NoError(t, err, name)
		want.Git.Depth = 0
		require.Equal(t, want, got, name)
	}
}
