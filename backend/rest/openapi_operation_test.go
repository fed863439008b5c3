package rest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/reflect/protoreflect"

	"ci/backend/rpc"
)

type object = yaml.MapSlice

func text(key string, value any) yaml.MapItem { return yaml.MapItem{Key: key, Value: value} }

// operation describes one route.
func (d *documenter) operation(r *Route) object {
	comment := r.Summary
	if r.RPC != nil {
		comment = d.comments[string(r.RPC.Descriptor.Name())]
	}
	summary, more, _ := strings.Cut(comment, ". ")
	op := object{text("operationId", operationID(r)), text("tags", []string{tagOf(r)}), text("summary", strings.TrimSuffix(summary, ".")+".")}
	if r.Public {
		op = append(op, text("security", []any{}))
	} else {
		more = strings.TrimSpace(more + " Roles: " + roles(r.Action) + ".")
	}
	if more != "" {
		op = append(op, text("description", more))
	}
	t := d.transcoderOf(r)
	if params := d.parameters(r, t); len(params) > 0 {
		op = append(op, text("parameters", params))
	}
	if t != nil && (t.body != nil || t.wholeBody) {
		op = append(op, text("requestBody", d.requestBody(t)))
	}
	return append(op, text("responses", d.responses(r, t)))
}

func operationID(r *Route) string {
	if r.RPC != nil {
		name := string(r.RPC.Descriptor.Name())
		return strings.ToLower(name[:1]) + name[1:]
	}
	return map[string]string{
		consolePattern: "getConsole", resultPattern: "getResult", "/healthz": "getHealth", "/readyz": "getReadiness",
		"/metrics": "getMetrics", "/openapi.yaml": "getOpenAPI", "/schemas/job.json": "getJobSchema",
		timesPattern: "getConsoleTimes",
	}[r.Pattern]
}

func tagOf(r *Route) string {
	switch {
	case r.RPC != nil:
		return strings.ToLower(strings.TrimSuffix(string(r.RPC.Descriptor.Parent().Name()), "Service"))
	case strings.HasPrefix(r.Pattern, "/jobs"):
		return "run"
	}
	return "server"
}

// transcoderOf makes a route's transcoder anew; nil for byte streams and the like.
func (d *documenter) transcoderOf(r *Route) *transcoder {
	if r.RPC == nil || r.RPC.Stream() {
		return nil
	}
	s := &server{}
	t, err := s.newTranscoder(r.RPC, httpRule(r.RPC), r.Pattern)
	if err != nil {
		d.t.Fatal(err)
	}
	return t
}

func (d *documenter) parameters(r *Route, t *transcoder) []any {
	var out []any
	for _, seg := range strings.Split(r.Pattern, "/") {
		if strings.HasPrefix(seg, "{") {
			out = append(out, pathParameter(r, strings.Trim(seg, "{}")))
		}
	}
	switch {
	case t != nil:
		out = append(out, d.inputParameters(r, t)...)
	case r.RPC != nil:
		in := r.RPC.Descriptor.Input().Fields()
		for i := range in.Len() {
			out = append(out, d.parameter("query", in.Get(i).JSONName(), in.Get(i)))
		}
		out = append(out, plainParameter("header", "Last-Event-ID", "Goes before after: browsers send it when they connect again.", "string"))
	case r.Pattern == consolePattern:
		out = append(out,
			plainParameter("query", "follow", "1 sends what is there and goes on until the run is done.", "string"),
			plainParameter("query", "offset", "The byte to begin at.", "integer"),
			plainParameter("header", "Last-Event-ID", "Goes before offset in events.", "string"),
			plainParameter("header", "Range", "One range of bytes; not with follow, offset or events.", "string"))
	case r.Pattern == timesPattern:
		out = append(out, plainParameter("query", "offset", "Parts that end before this byte are left out.", "integer"))
	case r.Pattern == resultPattern:
		out = append(out, plainParameter("header", "Range", "One range of bytes.", "string"))
	}
	return out
}

func (d *documenter) inputParameters(r *Route, t *transcoder) []any {
	var out []any
	in := r.RPC.Descriptor.Input().Fields()
	for i := range in.Len() { // in the order of the .proto file
		fd := in.Get(i)
		if t.query[fd.JSONName()] == fd {
			out = append(out, d.parameter("query", fd.JSONName(), fd))
		}
		for name, h := range t.headers {
			if h == fd {
				out = append(out, d.parameter("header", name, fd))
			}
		}
	}
	return out
}

func (d *documenter) parameter(in, name string, fd protoreflect.FieldDescriptor) object {
	schema := d.fieldSchema(fd)
	schema = slices.DeleteFunc(schema, func(i yaml.MapItem) bool { return i.Key == "description" })
	if fd.Name() == "page_size" {
		schema = object{text("type", "integer"), text("minimum", 1), text("maximum", rpc.MaxPage), text("default", rpc.DefaultPage)}
	}
	return object{text("name", name), text("in", in), text("description", d.comments[string(fd.Parent().Name())+"."+string(fd.Name())]), text("schema", schema)}
}

func plainParameter(in, name, description, kind string) object {
	return object{text("name", name), text("in", in), text("description", description), text("schema", object{text("type", kind)})}
}

func pathParameter(r *Route, name string) object {
	schema := object{text("type", "string"), text("pattern", "^[A-Za-z0-9][A-Za-z0-9._-]*$"), text("maxLength", 100)}
	if strings.Contains(r.Pattern, "/runs/{id}") && name == "id" {
		schema = object{text("type", "integer"), text("minimum", 1), text("maximum", uint32(1<<32-1))}
	}
	return object{text("name", name), text("in", "path"), text("required", true), text("schema", schema)}
}

func (d *documenter) requestBody(t *transcoder) object {
	return object{text("required", t.method.Descriptor.Name() != "TriggerRun"), jsonContent(d.schemaRef(bodyOf(t)))}
}

// bodyOf returns the message that a method's body is read into; nil if it has none.
func bodyOf(t *transcoder) protoreflect.MessageDescriptor {
	switch {
	case t == nil:
		return nil
	case t.body != nil:
		return t.body.Message()
	case t.wholeBody:
		return t.method.Descriptor.Input()
	}
	return nil
}

func (d *documenter) markInput(md protoreflect.MessageDescriptor) {
	if d.inputs[md.FullName()] {
		return
	}
	d.inputs[md.FullName()] = true
	for i := range md.Fields().Len() {
		if m := md.Fields().Get(i).Message(); m != nil {
			d.markInput(m)
		}
	}
}

func jsonContent(schema object) yaml.MapItem {
	return text("content", object{text("application/json", object{text("schema", schema)})})
}

func (d *documenter) responses(r *Route, t *transcoder) object {
	out := d.success(r, t)
	if r.Method == http.MethodGet && r.Pattern != "/metrics" && (r.RPC == nil || !r.RPC.Stream()) && !strings.HasSuffix(r.Pattern, "z") {
		out = append(out, text("304", object{text("description", "The caller's version (If-None-Match) is the present one.")}))
	}
	problems := []string{"400", "401", "403", "404"}
	if r.Public {
		problems = []string{"400"}
	}
	if r.Pattern == "/readyz" {
		problems = append(problems, "503")
	}
	if t != nil && (t.body != nil || t.wholeBody) {
		problems = append(problems, "413", "415")
	}
	if t != nil && t.headers["If-Match"] != nil {
		problems = append(problems, "412")
	}
	if t != nil && t.headers["Idempotency-Key"] != nil {
		problems = append(problems, "422")
	}
	if r.RPC != nil && r.RPC.Descriptor.Name() == "AbortRun" {
		problems = append(problems, "409")
	}
	if r.Pattern == consolePattern || r.Pattern == resultPattern {
		problems = append(problems, "416")
	}
	slices.Sort(problems)
	for _, status := range append(problems, "default") {
		out = append(out, text(status, ref("responses", "Problem")))
	}
	return out
}

func header(description string) object {
	return object{text("description", description), text("schema", object{text("type", "string")})}
}

// success describes the answers that are no errors.
func (d *documenter) success(r *Route, t *transcoder) object {
	switch {
	case t == nil:
		return d.plainSuccess(r)
	case r.RPC.Descriptor.Output().FullName() == "google.protobuf.Empty":
		return object{text("204", object{text("description", "Done.")})}
	}
	md := r.RPC.Descriptor.Output()
	if t.answer != nil {
		md = t.answer.Message()
	}
	headers := object{}
	if md.FullName() != "ci.v1.CreateTokenResponse" {
		headers = append(headers, text("ETag", header("Strong.")))
	}
	if md.Fields().ByName("next_page_token") != nil {
		headers = append(headers, text("Link", header("rel=next: where the next page is.")))
	}
	answer := func(description string, extra ...yaml.MapItem) object {
		return object{text("description", description), text("headers", append(slices.Clone(object(extra)), headers...)), jsonContent(d.schemaRef(md))}
	}
	switch r.RPC.Descriptor.Name() {
	case "PutJob", "PutSSHKey":
		return object{text("200", answer("Replaced.")), text("201", answer("Created.", text("Location", header("Its path."))))}
	case "TriggerRun":
		return object{text("201", answer("Recorded.", text("Location", header("The run's path.")), text("Idempotency-Replayed", header("true where an earlier request with the same key made the run."))))}
	case "CreateToken":
		return object{text("201", answer("Created.", text("Location", header("Its path."))))}
	}
	status := r.RPC.Status
	if status == 0 {
		status = http.StatusOK
	}
	return object{text(strconv.Itoa(status), answer(http.StatusText(status)+"."))}
}

func (d *documenter) plainSuccess(r *Route) object {
	anyBytes := object{text("type", "string"), text("format", "binary")}
	content := func(kinds ...string) yaml.MapItem {
		out := object{}
		for _, k := range kinds {
			out = append(out, text(k, object{text("schema", object{text("type", "string")})}))
		}
		return text("content", out)
	}
	ranges := object{text("Accept-Ranges", header("bytes")), text("Content-Range", header("In 206.")), text("ETag", header("The SHA-256 of the bytes, once they are final."))}
	switch {
	case r.RPC != nil: // events
		return object{text("200", object{text("description", "A stream that lasts. The id of each event is its seq."), text("headers", object{text("X-Events-After", header("The seq after which the stream begins."))}), text("content", object{
			text("text/event-stream", object{text("schema", object{text("type", "string")})}),
			text("application/x-ndjson", object{text("schema", d.schemaRef(r.RPC.Descriptor.Output()))}),
		})})}
	case r.Pattern == consolePattern:
		h := append(object{text("X-Console-Sealed", header("true once the run is done and nothing follows.")), text("X-Console-Truncated", header("true when the run printed more than its limit."))}, ranges...)
		description := "The bytes. As text/event-stream: the data of each event is whole lines, its id the offset behind them; an event `partial` is bytes that no line end follows yet; the event `end` comes last, with outcome, bytes and sha256."
		return object{
			text("200", object{text("description", description), text("headers", h), content("text/plain; charset=utf-8", "text/event-stream")}),
			text("206", object{text("description", "The range."), text("headers", h), content("text/plain; charset=utf-8")}),
		}
	case r.Pattern == timesPattern:
		line := object{text("type", "object"), text("properties", object{
			text("offset", object{text("type", "integer"), text("description", "The first byte of a part of the console.")}),
			text("length", object{text("type", "integer"), text("description", "How many bytes the part has.")}),
			text("at", object{text("type", "string"), text("format", "date-time"), text("description", "When the part was stored: about a second after it was printed, later when the agent could not reach the server.")}),
		})}
		return object{text("200", object{text("description", "An object a line for each part, in order and without a gap."), text("content", object{text("application/x-ndjson", object{text("schema", line)})})})}
	case r.Pattern == resultPattern:
		h := append(object{text("Content-Disposition", header("attachment, with the file's name (RFC 6266)."))}, ranges...)
		body := text("content", object{text("*/*", object{text("schema", anyBytes)})})
		return object{text("200", object{text("description", "The bytes, in the result's media type."), text("headers", h), body}), text("206", object{text("description", "The range."), text("headers", h), body})}
	}
	kinds := map[string]string{"/openapi.yaml": "application/yaml", "/schemas/job.json": "application/schema+json", "/metrics": "text/plain"}
	kind, ok := kinds[r.Pattern]
	if !ok {
		kind = "application/json"
	}
	return object{text("200", object{text("description", "OK."), content(kind)})}
}
