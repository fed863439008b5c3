package rest

import (
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"ci/backend/rpc"
	"ci/pkg/ci"
)

func httpRule(m *rpc.Method) *annotations.HttpRule {
	return proto.GetExtension(m.Descriptor.Options(), annotations.E_Http).(*annotations.HttpRule)
}

// words are the fields whose values are one of a list, by their names; the list is pkg/ci's.
func words(fd protoreflect.FieldDescriptor) []string {
	list := func(n int, at func(int) string) []string {
		var out []string
		for i := range n {
			out = append(out, at(i))
		}
		return out
	}
	output := !strings.HasSuffix(string(fd.Parent().Name()), "Request") && fd.Parent().Name() != "NewToken"
	var out []string
	switch fd.Name() {
	case "status":
		return []string{string(ci.StatusInProgress), string(ci.StatusDone)}
	case "phase":
		return list(len(ci.Phases), func(i int) string { return string(ci.Phases[i]) })
	case "outcome":
		if out = list(len(ci.Outcomes), func(i int) string { return string(ci.Outcomes[i]) }); output {
			out = append(out, "")
		}
	case "priority":
		out = list(len(ci.Priorities), func(i int) string { return string(ci.Priorities[i]) })
	case "role":
		if out = list(len(ci.Roles), func(i int) string { return string(ci.Roles[i]) }); output {
			out = append(out, string(ci.RoleRun))
		}
	case "until":
		out = []string{string(ci.UntilPlanned), string(ci.UntilStarted), string(ci.UntilDone)}
	case "type":
		if fd.Parent().Name() == "Event" {
			for _, t := range []ci.EventType{ci.EventRunTriggered, ci.EventRunQueued, ci.EventRunPreparing, ci.EventRunRunning, ci.EventRunCollecting, ci.EventRunDone, ci.EventRunAbortRequested} {
				out = append(out, string(t))
			}
		}
	}
	return out
}

// fractions are the numbers that need not be whole.
var fractions = []protoreflect.Name{"cpus", "free_cpus", "cpu_load"}

// schemaRef describes a message once and refers to it.
func (d *documenter) schemaRef(md protoreflect.MessageDescriptor) object {
	name := string(md.Name())
	if _, ok := d.schemas[name]; !ok {
		d.schemas[name] = object{} // ends recursion
		d.schemas[name] = d.schema(md)
	}
	return ref("schemas", name)
}

func (d *documenter) schema(md protoreflect.MessageDescriptor) object {
	out := object{text("type", "object")}
	if c := d.comments[string(md.Name())]; !strings.HasPrefix(c, "See ") {
		out = append(out, text("description", c))
	}
	properties := object{}
	var always []string
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		properties = append(properties, text(fd.JSONName(), d.fieldSchema(fd)))
		if fd.IsMap() || fd.IsList() || fd.Message() == nil && !fd.HasOptionalKeyword() {
			always = append(always, fd.JSONName())
		}
	}
	switch {
	case d.inputs[md.FullName()]:
		out = append(out, text("additionalProperties", false))
	case len(always) > 0:
		out = append(out, text("required", always))
	}
	return append(out, text("properties", properties))
}

func (d *documenter) fieldSchema(fd protoreflect.FieldDescriptor) object {
	comment := d.comments[string(fd.Parent().Name())+"."+string(fd.Name())]
	var out object
	switch {
	case fd.IsMap():
		out = object{text("type", "object"), text("additionalProperties", d.valueSchema(fd.MapValue()))}
	case fd.IsList():
		out = object{text("type", "array"), text("items", d.valueSchema(fd))}
	default:
		out = d.valueSchema(fd)
	}
	out = append(out, text("description", comment))
	if strings.Contains(comment, "Set by the server; ignored") {
		out = append(out, text("readOnly", true))
	}
	return out
}

func (d *documenter) valueSchema(fd protoreflect.FieldDescriptor) object {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return object{text("type", "boolean")}
	case protoreflect.Uint32Kind:
		return object{text("type", "integer"), text("minimum", 0), text("maximum", uint32(1<<32-1))}
	case protoreflect.Int32Kind:
		return object{text("type", "integer"), text("format", "int32")}
	case protoreflect.DoubleKind:
		if slices.Contains(fractions, fd.Name()) {
			return object{text("type", "number"), text("minimum", 0)}
		}
		return object{text("type", "integer"), text("format", "int64"), text("minimum", 0)}
	case protoreflect.MessageKind:
		return d.messageSchema(fd.Message())
	}
	out := object{text("type", "string")}
	if w := words(fd); len(w) > 0 {
		out = append(out, text("enum", w))
	}
	return out
}

func (d *documenter) messageSchema(md protoreflect.MessageDescriptor) object {
	switch md.FullName() {
	case "google.protobuf.Timestamp":
		return object{text("type", "string"), text("format", "date-time")}
	case "google.protobuf.Duration":
		return object{text("type", "string"), text("examples", []string{"90s"})}
	case "google.protobuf.Struct":
		return object{text("type", "object"), text("additionalProperties", true)}
	}
	return d.schemaRef(md)
}
