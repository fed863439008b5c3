package rest

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"ci/backend/rpc/wirejson"
	"ci/pkg/ci"
)

// setQuery reads a query string into a message. Unknown, repeated and empty
// parameters are errors: a filter that is not understood would select too much.
func setQuery(m protoreflect.Message, fields map[string]protoreflect.FieldDescriptor, raw string) error {
	known := make([]string, 0, len(fields))
	for name := range fields {
		known = append(known, name)
	}
	values, err := parseQuery(raw, known)
	if err != nil {
		return err
	}
	var faults []ci.Field
	for name, v := range values {
		if msg := setParam(m, fields[name], v); msg != "" {
			faults = append(faults, ci.Field{Path: name, Message: msg})
		}
	}
	return queryError(faults)
}

// parseQuery returns every parameter's one value.
func parseQuery(raw string, known []string) (map[string]string, error) {
	if raw == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the query string is not valid: %w", err)
	}
	slices.Sort(known)
	out := make(map[string]string, len(values))
	var faults []ci.Field
	for name, vs := range values {
		switch {
		case !slices.Contains(known, name):
			faults = append(faults, ci.Field{Path: cutText(name, 100), Message: "is not a parameter here; what is: " + listOr(known, "none")})
		case len(vs) > 1:
			faults = append(faults, ci.Field{Path: name, Message: "is there " + strconv.Itoa(len(vs)) + " times"})
		case vs[0] == "":
			faults = append(faults, ci.Field{Path: name, Message: "is empty; leave it out instead"})
		default:
			out[name] = vs[0]
		}
	}
	return out, queryError(faults)
}

func queryError(faults []ci.Field) error {
	if len(faults) == 0 {
		return nil
	}
	slices.SortFunc(faults, func(a, b ci.Field) int { return strings.Compare(a.Path, b.Path) })
	return &ci.Error{Code: ci.CodeInvalid, Message: "the query is not valid", Fields: faults[:min(len(faults), 20)]}
}

func listOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

// setParam sets one field from text and returns what is wrong with it, or "".
func setParam(m protoreflect.Message, fd protoreflect.FieldDescriptor, v string) string {
	switch fd.Kind() {
	case protoreflect.StringKind:
		m.Set(fd, protoreflect.ValueOfString(v))
	case protoreflect.Uint32Kind:
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil || n == 0 { // none of ours means anything at 0, and 0 would read as absent
			return "is not a whole number from 1 on"
		}
		m.Set(fd, protoreflect.ValueOfUint32(uint32(n)))
	case protoreflect.DoubleKind:
		n, err := strconv.ParseUint(v, 10, 53)
		if err != nil {
			return "is not a whole number from 0 on"
		}
		m.Set(fd, protoreflect.ValueOfFloat64(float64(n)))
	case protoreflect.MessageKind:
		return setMessageParam(m, fd, v)
	default:
		return "can't be given here"
	}
	return ""
}

func setMessageParam(m protoreflect.Message, fd protoreflect.FieldDescriptor, v string) string {
	switch dst := m.Mutable(fd).Message().Interface().(type) {
	case *durationpb.Duration:
		d, err := wirejson.ParseDuration(v)
		if err != nil {
			return err.Error()
		}
		dst.Seconds, dst.Nanos = int64(d/time.Second), int32(d%time.Second)
	case *timestamppb.Timestamp:
		t, err := wirejson.ParseTime(v)
		if err != nil {
			return err.Error()
		}
		dst.Seconds, dst.Nanos = t.Unix(), int32(t.Nanosecond())
	default:
		return "can't be given here"
	}
	return ""
}

// setHeader sets a field from a header that is there at most once.
func setHeader(m protoreflect.Message, fd protoreflect.FieldDescriptor, name string, values []string) error {
	switch {
	case len(values) == 0:
		return nil
	case len(values) > 1 || values[0] == "":
		return &ci.Error{Code: ci.CodeInvalid, Message: "the request is not valid", Fields: []ci.Field{{Path: name, Message: "the header must be there once, and not be empty"}}}
	}
	m.Set(fd, protoreflect.ValueOfString(values[0]))
	return nil
}
