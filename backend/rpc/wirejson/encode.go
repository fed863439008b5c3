package wirejson

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Marshal writes compact JSON, fields in the order of the .proto file, keys of
// maps sorted: one message has one text. Fields that are not set are written
// too, except messages and optional ones. It fails for text that is no UTF-8
// and numbers that JSON can't write.
func Marshal(m proto.Message) ([]byte, error) {
	e := encoder{buf: make([]byte, 0, 1024)}
	e.message(m.ProtoReflect())
	return e.buf, e.err
}

// encoder appends to buf and remembers what first went wrong.
type encoder struct {
	buf []byte
	err error
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

func (e *encoder) message(m protoreflect.Message) {
	switch v := m.Interface().(type) {
	case *timestamppb.Timestamp:
		e.timestamp(v)
		return
	case *durationpb.Duration:
		e.duration(v)
		return
	case *structpb.Struct:
		e.structure(v)
		return
	}
	e.buf = append(e.buf, '{')
	fields := m.Descriptor().Fields()
	first := true
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.HasPresence() && !m.Has(fd) {
			continue
		}
		if !first {
			e.buf = append(e.buf, ',')
		}
		first = false
		e.buf = append(e.buf, '"')
		e.buf = append(e.buf, fd.JSONName()...)
		e.buf = append(e.buf, '"', ':')
		e.field(fd, m.Get(fd))
	}
	e.buf = append(e.buf, '}')
}

func (e *encoder) field(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case fd.IsMap():
		e.entries(fd.MapValue(), v.Map())
	case fd.IsList():
		e.buf = append(e.buf, '[')
		list := v.List()
		for i := range list.Len() {
			if i > 0 {
				e.buf = append(e.buf, ',')
			}
			e.value(fd, list.Get(i))
		}
		e.buf = append(e.buf, ']')
	default:
		e.value(fd, v)
	}
}

// entries writes a map whose keys are strings, as ours all are.
func (e *encoder) entries(fd protoreflect.FieldDescriptor, m protoreflect.Map) {
	keys := make([]string, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k.String())
		return true
	})
	slices.Sort(keys)
	e.buf = append(e.buf, '{')
	for i, k := range keys {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.text(k)
		e.buf = append(e.buf, ':')
		e.value(fd, m.Get(protoreflect.ValueOfString(k).MapKey()))
	}
	e.buf = append(e.buf, '}')
}

func (e *encoder) value(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		e.text(v.String())
	case protoreflect.BoolKind:
		e.buf = strconv.AppendBool(e.buf, v.Bool())
	case protoreflect.Uint32Kind:
		e.buf = strconv.AppendUint(e.buf, v.Uint(), 10)
	case protoreflect.Int32Kind:
		e.buf = strconv.AppendInt(e.buf, v.Int(), 10)
	case protoreflect.DoubleKind:
		e.number(v.Float())
	case protoreflect.BytesKind:
		e.text(base64.StdEncoding.EncodeToString(v.Bytes()))
	case protoreflect.MessageKind:
		e.message(v.Message())
	default:
		e.fail("%s: a %s has no form in our JSON", fd.FullName(), fd.Kind())
	}
}

// number writes whole numbers as such, up to where JSON readers lose them.
func (e *encoder) number(f float64) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		e.fail("%v is no number in JSON", f)
	case f == math.Trunc(f) && math.Abs(f) <= 1<<53:
		e.buf = strconv.AppendInt(e.buf, int64(f), 10)
	default:
		e.buf = strconv.AppendFloat(e.buf, f, 'g', -1, 64)
	}
}

// text writes a string and escapes what RFC 8259 demands, nothing else.
func (e *encoder) text(s string) {
	if !utf8.ValidString(s) {
		e.fail("%q is not valid UTF-8", s)
		return
	}
	const hex = "0123456789abcdef"
	e.buf = append(e.buf, '"')
	begin := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		e.buf = append(e.buf, s[begin:i]...)
		begin = i + 1
		switch c {
		case '"', '\\':
			e.buf = append(e.buf, '\\', c)
		case '\n':
			e.buf = append(e.buf, '\\', 'n')
		case '\r':
			e.buf = append(e.buf, '\\', 'r')
		case '\t':
			e.buf = append(e.buf, '\\', 't')
		default:
			e.buf = append(e.buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	e.buf = append(e.buf, s[begin:]...)
	e.buf = append(e.buf, '"')
}

func (e *encoder) timestamp(t *timestamppb.Timestamp) {
	if err := t.CheckValid(); err != nil {
		e.fail("%w", err)
		return
	}
	e.buf = append(e.buf, '"')
	e.buf = t.AsTime().AppendFormat(e.buf, time.RFC3339Nano)
	e.buf = append(e.buf, '"')
}

// duration writes seconds, "90s" or "0.5s", as protobuf's mapping does.
func (e *encoder) duration(d *durationpb.Duration) {
	if err := d.CheckValid(); err != nil {
		e.fail("%w", err)
		return
	}
	e.buf = append(e.buf, '"')
	seconds, nanos := d.GetSeconds(), d.GetNanos()
	if seconds < 0 || nanos < 0 {
		e.buf = append(e.buf, '-')
		seconds, nanos = -seconds, -nanos
	}
	e.buf = strconv.AppendInt(e.buf, seconds, 10)
	if nanos != 0 {
		e.buf = append(e.buf, '.')
		e.buf = append(e.buf, strings.TrimRight(fmt.Sprintf("%09d", nanos), "0")...)
	}
	e.buf = append(e.buf, 's', '"')
}

func (e *encoder) structure(s *structpb.Struct) {
	keys := make([]string, 0, len(s.GetFields()))
	for k := range s.GetFields() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	e.buf = append(e.buf, '{')
	for i, k := range keys {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.text(k)
		e.buf = append(e.buf, ':')
		e.anything(s.GetFields()[k])
	}
	e.buf = append(e.buf, '}')
}

// anything writes any JSON value.
func (e *encoder) anything(v *structpb.Value) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		e.text(k.StringValue)
	case *structpb.Value_BoolValue:
		e.buf = strconv.AppendBool(e.buf, k.BoolValue)
	case *structpb.Value_NumberValue:
		e.number(k.NumberValue)
	case *structpb.Value_StructValue:
		e.structure(k.StructValue)
	case *structpb.Value_ListValue:
		e.buf = append(e.buf, '[')
		for i, item := range k.ListValue.GetValues() {
			if i > 0 {
				e.buf = append(e.buf, ',')
			}
			e.anything(item)
		}
		e.buf = append(e.buf, ']')
	default:
		e.buf = append(e.buf, "null"...)
	}
}
