package pipeline

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

var update = flag.Bool("update", false, "write the generated files anew")

type object = yaml.MapSlice

func text(key string, value any) yaml.MapItem { return yaml.MapItem{Key: key, Value: value} }

// described is what a route does not tell of itself.
type described struct {
	id, summary, more string
	headers, query    []object
	body              string // the schema of the request's
	optional          bool   // there may be none
	answers           []answer
	problems          []int // besides those of all
}

// answer is one that is no error; its schema "" has no body, "text" is plain.
type answer struct {
	status       int
	says, schema string
	headers      []string
}

func param(in, name, kind, says string) object {
	return object{text("name", name), text("in", in), text("description", says), text("schema", object{text("type", kind)})}
}

func paging() []object {
	return []object{
		param("query", "pageSize", "integer", "From 1 to 500; 100 without it."),
		param("query", "pageToken", "string", "nextPageToken of the page before."),
	}
}

var once = []object{param("header", "Idempotency-Key", "string", "A second request with the same key returns the first one's run.")}

// operations describes the routes by their patterns.
var operations = map[string]described{
	"GET /pipelines": {id: "listPipelines", summary: "Lists all pipelines.", query: paging(), answers: []answer{{200, "OK.", "PipelineList", nil}}},
	"GET /pipelines/{name}": {
		id: "getPipeline", summary: "Returns a pipeline with its program.", answers: []answer{{200, "OK.", "Pipeline", []string{"ETag"}}},
	},
	"PUT /pipelines/{name}": {
		id: "putPipeline", summary: "Creates or replaces a pipeline.",
		more:    "The program is run to its first call before. Putting the same again changes nothing. Runs that are in progress keep the text that they began with.",
		headers: []object{param("header", "If-Match", "string", "The ETag of the version that is replaced.")}, body: "PipelineInput", problems: []int{412},
		answers: []answer{{200, "Replaced.", "Pipeline", []string{"ETag"}}, {201, "Created.", "Pipeline", []string{"ETag", "Location"}}},
	},
	"DELETE /pipelines/{name}": {id: "deletePipeline", summary: "Removes a pipeline.", more: "Its runs stay.", answers: []answer{{204, "Done.", "", nil}}},
	"POST /pipelines/{name}/runs": {
		id: "runPipeline", summary: "Runs a pipeline.", headers: once, body: "PipelineRunInput", optional: true,
		answers: []answer{{200, "An earlier request with the same key made this run.", "PipelineRun", []string{"Location"}}, {201, "Recorded.", "PipelineRun", []string{"Location"}}},
	},
	"GET /pipelines/{name}/runs": {
		id: "listPipelineRuns", summary: "Lists the runs of a pipeline, newest first, without their calls.", more: "- as the name is all pipelines.", problems: []int{429},
		query: slices.Concat([]object{
			param("query", "status", "string", "Only those in_progress, or done."),
			param("query", "outcome", "string", "Only those that ended so."),
		}, paging(), []object{
			param("query", "wait", "string", "With since: holds the answer so long, at most a minute, until the first page is in another state than that. Then, or when the time is up, the list is told as it is."),
			param("query", "since", "string", "The state of a list with the same name, status, outcome and pageSize, as it was seen."),
		}), answers: []answer{{200, "OK.", "PipelineRunList", nil}},
	},
	"GET /pipelines/{name}/runs/{id}": {
		id: "getPipelineRun", summary: "Returns a run of a pipeline with its calls.", problems: []int{429},
		query: []object{
			param("query", "wait", "string", "Holds the answer so long, at most a minute, until the run is done."),
			param("query", "since", "integer", "With wait: or until other calls have begun, were triggered or have ended than the so many that were counted."),
		}, answers: []answer{{200, "OK.", "PipelineRun", nil}},
	},
	"GET /pipelines/{name}/runs/{id}/graph":   {id: "getPipelineGraph", summary: "Returns a run's calls as nodes and edges.", answers: []answer{{200, "OK.", "PipelineGraph", nil}}},
	"GET /pipelines/{name}/runs/{id}/program": {id: "getPipelineProgram", summary: "Returns the text that a run carries out.", answers: []answer{{200, "OK.", "text", nil}}},
	"POST /pipelines/{name}/runs/{id}/abort": {
		id: "abortPipelineRun", summary: "Asks for the end of a run, and of all runs that it has triggered.", answers: []answer{{200, "Noted.", "PipelineRun", nil}}, problems: []int{409},
	},
	"POST /pipelines/{name}/runs/{id}/rerun": {
		id: "rerunPipeline", summary: "Runs a pipeline again with the program and the parameters of a run that is done.", headers: once, body: "RerunInput", optional: true, problems: []int{409},
		answers: []answer{{200, "An earlier request with the same key made this run.", "PipelineRun", []string{"Location"}}, {201, "Recorded.", "PipelineRun", []string{"Location"}}},
	},
	"POST /pipelines/{name}/runs/{id}/approvals/{call}": {
		id: "answerPipeline", summary: "Says yes or no to what a run asks.", body: "ApprovalInput", answers: []answer{{200, "Noted.", "PipelineRun", nil}}, problems: []int{409},
	},
}

// TestOpenAPI compares the committed part of the document with what the routes
// and the words say today. backend/rest makes it a part of the whole.
func TestOpenAPI(t *testing.T) {
	doc := object{text("paths", paths(t)), text("components", object{text("schemas", schemas(t))})}
	want, err := yaml.MarshalWithOptions(doc, yaml.Indent(2), yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("openapi.yaml", want, 0o644))
		return
	}
	have, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "openapi.yaml is not up to date; run make gen")
}

func paths(t *testing.T) (all object) {
	t.Helper()
	left := len(operations)
	for _, r := range new(Service).routes() {
		d, ok := operations[r.pattern]
		require.True(t, ok, "%s is not described", r.pattern)
		left--
		method, path, _ := strings.Cut(r.pattern, " ")
		op := text(strings.ToLower(method), operation(path, r.roles, d))
		if i := slices.IndexFunc(all, func(p yaml.MapItem) bool { return p.Key == path }); i >= 0 {
			all[i].Value = append(all[i].Value.(object), op)
			continue
		}
		all = append(all, text(path, object{op}))
	}
	require.Zero(t, left, "something is described that is not served")
	return all
}

func operation(path string, roles []ci.Role, d described) object {
	names := make([]string, len(roles))
	for i, role := range roles {
		names[i] = string(role)
	}
	op := object{
		text("operationId", d.id), text("tags", []string{"pipeline"}), text("summary", d.summary),
		text("description", strings.TrimSpace(d.more+" Roles: "+strings.Join(names, ", ")+".")),
	}
	if params := slices.Concat(pathParameters(path), d.query, d.headers); len(params) > 0 {
		op = append(op, text("parameters", params))
	}
	if d.body != "" {
		op = append(op, text("requestBody", object{text("required", !d.optional), jsonContent(d.body)}))
	}
	return append(op, text("responses", responses(d)))
}

func pathParameters(path string) (list []object) {
	for _, part := range strings.Split(path, "/") {
		schema := object{text("type", "string"), text("maxLength", 100)}
		switch part {
		case "{id}":
			schema = object{text("type", "integer"), text("minimum", 1)}
		case "{call}":
			schema = object{text("type", "string")}
		case "{name}":
		default:
			continue
		}
		list = append(list, object{text("name", strings.Trim(part, "{}")), text("in", "path"), text("required", true), text("schema", schema)})
	}
	return list
}

func responses(d described) (out object) {
	for _, a := range d.answers {
		r := object{text("description", a.says)}
		var headers object
		for _, name := range a.headers {
			headers = append(headers, text(name, object{text("schema", object{text("type", "string")})}))
		}
		if len(headers) > 0 {
			r = append(r, text("headers", headers))
		}
		switch a.schema {
		case "":
		case "text":
			r = append(r, text("content", object{text("text/plain; charset=utf-8", object{text("schema", object{text("type", "string")})})}))
		default:
			r = append(r, jsonContent(a.schema))
		}
		out = append(out, text(strconv.Itoa(a.status), r))
	}
	problems := append([]int{400, 401, 403, 404}, d.problems...)
	if d.body != "" {
		problems = append(problems, 413)
	}
	slices.Sort(problems)
	for _, status := range problems {
		out = append(out, text(strconv.Itoa(status), ref("responses/Problem")))
	}
	return append(out, text("default", ref("responses/Problem")))
}

func jsonContent(schema string) yaml.MapItem {
	return text("content", object{text("application/json", object{text("schema", ref("schemas/"+schema))})})
}

func ref(to string) object { return object{text("$ref", fmt.Sprint("#/components/", to))} }
