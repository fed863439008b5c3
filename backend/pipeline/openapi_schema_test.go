package pipeline

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// schemas describes the words of pipelines by what pkg/ci says of them, and
// the documents that are nothing but these.
func schemas(t *testing.T) object {
	t.Helper()
	words := comments(t)
	list := func(key, of string, more ...yaml.MapItem) object {
		required := []string{key, "nextPageToken"}
		for _, m := range more {
			required = append(required, m.Key.(string))
		}
		return object{text("type", "object"), text("required", required), text("properties", append(object{
			text(key, object{text("type", "array"), text("items", ref("schemas/"+of))}),
			text("nextPageToken", object{text("type", "string"), text("description", "Where the next page begins; empty on the last.")}),
		}, more...))}
	}
	input := func(required []string, properties ...yaml.MapItem) object {
		o := object{text("type", "object"), text("additionalProperties", false)}
		if len(required) > 0 {
			o = append(o, text("required", required))
		}
		return append(o, text("properties", object(properties)))
	}
	says := func(kind, what string) object { return object{text("type", kind), text("description", what)} }
	values := object{text("type", "object"), text("additionalProperties", object{text("type", "string")})}
	all := object{
		text("PipelineList", list("pipelines", "Pipeline")),
		text("PipelineRunList", list("runs", "PipelineRun", text("state", object{text("type", "string"), text("description", "The same for lists that show the same; since takes it.")}))),
		text("PipelineGraph", object{text("type", "object"), text("required", []string{"nodes", "edges"}), text("properties", object{
			text("nodes", object{text("type", "array"), text("items", ref("schemas/PipelineCall"))}),
			text("edges", object{text("type", "array"), text("description", "Pairs of ids: the second call was made when the first had ended."), text("items", object{
				text("type", "array"), text("minItems", 2), text("maxItems", 2), text("items", object{text("type", "string")}),
			})}),
		})}),
		text("PipelineInput", input([]string{"program"}, text("program", says("string", words["Pipeline.Program"])), text("source", ref("schemas/PipelineSource")))),
		text("PipelineRunInput", input(nil, text("parameters", values))),
		text("RerunInput", input(nil, text("failed", says("boolean", "Reuse what succeeded: only what failed runs again, and what came after it.")))),
		text("ApprovalInput", input([]string{"approved"}, text("approved", says("boolean", "Yes or no.")), text("note", says("string", "Why, for those who look later.")))),
	}
	for _, v := range []any{ci.Pipeline{}, ci.PipelineSource{}, ci.PipelineParameter{}, ci.PipelineRun{}, ci.PipelineCall{}} {
		all = append(all, text(reflect.TypeOf(v).Name(), schemaOf(t, reflect.TypeOf(v), words)))
	}
	slices.SortFunc(all, func(a, b yaml.MapItem) int { return strings.Compare(a.Key.(string), b.Key.(string)) })
	return all
}

func schemaOf(t *testing.T, of reflect.Type, words map[string]string) object {
	t.Helper()
	properties, required := object{}, []string{}
	for f := range of.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		require.NotEmpty(t, name, "%s.%s", of.Name(), f.Name)
		if options == "" {
			required = append(required, name)
		}
		schema := valueOf(t, f.Type)
		if says := words[of.Name()+"."+f.Name]; says != "" && schema[0].Key != "$ref" {
			schema = append(schema, text("description", says))
		}
		properties = append(properties, text(name, schema))
	}
	return object{text("type", "object"), text("description", words[of.Name()]), text("required", required), text("properties", properties)}
}

// enums are the words that are one of a list.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[ci.Status]():   {string(ci.StatusInProgress), string(ci.StatusDone)},
	reflect.TypeFor[ci.CallKind](): {string(ci.CallRun), string(ci.CallResult), string(ci.CallSleep), string(ci.CallApprove), string(ci.CallAny), string(ci.CallAbort), string(ci.CallNow), string(ci.CallPrint)},
}

func valueOf(t *testing.T, of reflect.Type) object {
	t.Helper()
	switch of {
	case reflect.TypeFor[time.Time]():
		return object{text("type", "string"), text("format", "date-time")}
	case reflect.TypeFor[json.RawMessage]():
		return object{} // any JSON
	case reflect.TypeFor[ci.Outcome]():
		names := make([]string, len(ci.Outcomes))
		for i, o := range ci.Outcomes {
			names[i] = string(o)
		}
		return object{text("type", "string"), text("enum", names)}
	}
	switch of.Kind() {
	case reflect.String:
		if list := enums[of]; list != nil {
			return object{text("type", "string"), text("enum", list)}
		}
		return object{text("type", "string")}
	case reflect.Bool:
		return object{text("type", "boolean")}
	case reflect.Int, reflect.Int64:
		return object{text("type", "integer"), text("minimum", 0)}
	case reflect.Slice:
		return object{text("type", "array"), text("items", valueOf(t, of.Elem()))}
	case reflect.Map:
		return object{text("type", "object"), text("additionalProperties", valueOf(t, of.Elem()))}
	case reflect.Pointer:
		return valueOf(t, of.Elem())
	case reflect.Struct:
		return ref("schemas/" + of.Name())
	}
	t.Fatalf("nobody knows how to describe %s", of)
	return nil
}

// comments reads what pkg/ci says of the words of pipelines, by "Type" and "Type.Field".
func comments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../pkg/ci/pipeline.go", nil, parser.ParseComments)
	require.NoError(t, err)
	said := map[string]string{}
	flat := func(groups ...*ast.CommentGroup) string {
		var parts []string
		for _, g := range groups {
			parts = append(parts, strings.Fields(g.Text())...)
		}
		return strings.Join(parts, " ")
	}
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			continue
		}
		spec := decl.Specs[0].(*ast.TypeSpec)
		said[spec.Name.Name] = flat(decl.Doc)
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				said[spec.Name.Name+"."+f.Names[0].Name] = flat(f.Doc, f.Comment)
			}
		}
	}
	require.NotEmpty(t, said["Pipeline.Program"])
	return said
}
