package ghtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// descriptionFile is GitHub's published description of the operations that
// this fake serves, OpenAPI 3.0 as JSON.
const descriptionFile = "shared/data/github-openapi/github-rest-subset.openapi.json"

// contract checks requests and answers against GitHub's own description. Its
// schemas are compiled when they are first needed: most tests use few.
type contract struct {
	operations map[string]*operation // by method and path template: "GET /app"

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by JSON pointer
}

// operation is what the description says of one method of one path.
type operation struct {
	query     map[string]string // query parameter → pointer to its schema
	body      string            // pointer to the schema of the JSON body; "" takes none
	mustBody  bool
	responses map[int]string // status → pointer to the schema of its JSON; "" has no body
}

// findDescription returns the path of the description, looking beside the
// repository and above; "" says that it is not on this machine.
func findDescription() string {
	dir, err := os.Getwd()
	for err == nil {
		path := filepath.Join(dir, descriptionFile)
		if _, err := os.Stat(path); err == nil {
			return path
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	return ""
}

func readContract(path string) (*contract, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	doc, ok := decoded.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is not an object", path)
	}
	allowNull(doc)
	c := &contract{operations: map[string]*operation{}, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	c.compiler.AssertFormat()
	for template, item := range at(doc, "paths") {
		for method, described := range object(item) {
			if op := object(described); op["responses"] != nil {
				here := pointer("paths", template, method)
				c.operations[strings.ToUpper(method)+" "+template] = readOperation(doc, here, op)
			}
		}
	}
	return c, c.compiler.AddResource(rootURL, doc)
}

// rootURL names the description for the compiler of schemas.
const rootURL = "https://api.github.com/openapi.json"

func readOperation(doc map[string]any, here string, op map[string]any) *operation {
	o := &operation{query: map[string]string{}, responses: map[int]string{}}
	parameters, _ := op["parameters"].([]any)
	for i, p := range parameters {
		where, param := resolve(doc, here+pointer("parameters", strconv.Itoa(i)), object(p))
		if name, _ := param["name"].(string); param["in"] == "query" {
			o.query[name] = where + "/schema"
		}
	}
	if body := object(op["requestBody"]); body != nil {
		o.mustBody, _ = body["required"].(bool)
		if schema := at(body, "content", "application/json", "schema"); schema != nil {
			o.body = here + pointer("requestBody", "content", "application/json", "schema")
			refuseUnknown(schema)
		}
	}
	for code, r := range object(op["responses"]) {
		where, response := resolve(doc, here+pointer("responses", code), object(r))
		status, _ := strconv.Atoi(code)
		o.responses[status] = ""
		if at(response, "content", "application/json", "schema") != nil {
			o.responses[status] = where + pointer("content", "application/json", "schema")
		}
	}
	return o
}

// resolve follows a reference; it returns where the thing itself stands.
func resolve(doc map[string]any, where string, v map[string]any) (string, map[string]any) {
	ref, ok := v["$ref"].(string)
	if !ok {
		return where, v
	}
	path := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
	return strings.TrimPrefix(ref, "#"), at(doc, path...)
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// at goes down into nested objects; nil when one is not there.
func at(v map[string]any, path ...string) map[string]any {
	for _, name := range path {
		v = object(v[name])
	}
	return v
}

// pointer is a JSON pointer (RFC 6901).
func pointer(path ...string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return b.String()
}

// allowNull rewrites OpenAPI 3.0's "nullable", which JSON Schema does not know.
func allowNull(v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["nullable"] == true {
			if kind, ok := v["type"].(string); ok {
				v["type"] = []any{kind, "null"}
			}
			if values, ok := v["enum"].([]any); ok {
				v["enum"] = append(values, nil)
			}
			if choices, ok := v["anyOf"].([]any); ok {
				v["anyOf"] = append(choices, map[string]any{"type": "null"})
			}
		}
		for _, inner := range v {
			allowNull(inner)
		}
	case []any:
		for _, inner := range v {
			allowNull(inner)
		}
	}
}

// refuseUnknown makes a misspelt property of a request an error. GitHub itself
// ignores it, which is how such mistakes live long.
func refuseUnknown(schema map[string]any) {
	if _, says := schema["additionalProperties"]; !says && schema["properties"] != nil {
		schema["additionalProperties"] = false
	}
	for _, property := range object(schema["properties"]) {
		refuseUnknown(object(property))
	}
	if items := object(schema["items"]); items != nil {
		refuseUnknown(items)
	}
}

// check validates a value, which was decoded from JSON, against the schema at a pointer.
func (c *contract) check(where string, v any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	schema := c.schemas[where]
	if schema == nil {
		made, err := c.compiler.Compile(rootURL + "#" + fragment(where))
		if err != nil {
			return fmt.Errorf("the description's schema %s: %w", where, err)
		}
		schema, c.schemas[where] = made, made
	}
	return schema.Validate(v)
}

// fragment writes a JSON pointer as the fragment of an URL.
func fragment(where string) string {
	return strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(where)
}

// checkJSON is check for bytes.
func (c *contract) checkJSON(where string, raw []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return c.check(where, v)
}

// request says what is wrong with a request; nil when the description allows it.
func (c *contract) request(op *operation, query url.Values, body []byte) error {
	for name, values := range query {
		schema, known := op.query[name]
		if !known {
			return fmt.Errorf("GitHub knows no query parameter %q here", name)
		}
		for _, v := range values {
			err := c.check(schema, scalar(v))
			if err != nil && c.check(schema, v) == nil {
				err = nil // digits may be text: a cursor's
			}
			if err != nil {
				return fmt.Errorf("query parameter %q is %q: %w", name, v, err)
			}
		}
	}
	switch {
	case len(body) == 0 && op.mustBody:
		return fmt.Errorf("it needs a body")
	case len(body) == 0 || string(bytes.TrimSpace(body)) == "null": // go-github sends it where a body may be left out
		return nil
	case op.body == "":
		return fmt.Errorf("it takes no body, and got %q", abridged(body))
	}
	return c.checkJSON(op.body, body)
}

// scalar reads a query parameter as its schema would see it.
func scalar(v string) any {
	if regexp.MustCompile(`^-?[0-9]+$`).MatchString(v) {
		return json.Number(v)
	}
	return v
}

// anyError are the answers that every operation may give, though not each
// description lists them: who calls, what they may, how often, and our ends.
var anyError = []int{400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504}

// answer says what is wrong with an answer of this fake.
func (c *contract) answer(op *operation, status int, kind string, body []byte) error {
	schema, described := op.responses[status]
	switch {
	case !described && slices.Contains(anyError, status):
		if status == http.StatusUnprocessableEntity {
			return c.checkJSON(pointer("components", "schemas", "validation-error"), body)
		}
		if status >= 500 {
			return nil // a machine before GitHub's answers in HTML
		}
		return c.checkJSON(pointer("components", "schemas", "basic-error"), body)
	case !described:
		return fmt.Errorf("the description has no answer %d", status)
	case strings.HasPrefix(kind, "application/vnd.github"), schema == "" && len(body) == 0:
		return nil // raw bytes
	case schema == "":
		return fmt.Errorf("answer %d has no body, and this is one: %q", status, abridged(body))
	}
	return c.checkJSON(schema, body)
}

func abridged(b []byte) string {
	if len(b) > 300 {
		return string(b[:300]) + "…"
	}
	return string(b)
}
