package wirejson

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// scalar reads a value that is one token. It has added a fault when it returns false.
func (d *decoder) scalar(fd protoreflect.FieldDescriptor, at string, tok json.Token) (protoreflect.Value, bool) {
	var want string
	switch fd.Kind() {
	case protoreflect.StringKind:
		if s, ok := tok.(string); ok {
			return protoreflect.ValueOfString(s), d.wholeText(at, s)
		}
		want = "a string"
	case protoreflect.BoolKind:
		if b, ok := tok.(bool); ok {
			return protoreflect.ValueOfBool(b), true
		}
		want = "true or false"
	case protoreflect.Uint32Kind:
		if n, ok := tok.(json.Number); ok {
			if v, err := strconv.ParseUint(n.String(), 10, 32); err == nil {
				return protoreflect.ValueOfUint32(uint32(v)), true
			}
		}
		want = "a whole number from 0 to 4294967295"
	case protoreflect.Int32Kind:
		if n, ok := tok.(json.Number); ok {
			if v, err := strconv.ParseInt(n.String(), 10, 32); err == nil {
				return protoreflect.ValueOfInt32(int32(v)), true
			}
		}
		want = "a whole number"
	case protoreflect.DoubleKind:
		if n, ok := tok.(json.Number); ok {
			if v, err := n.Float64(); err == nil && !math.IsInf(v, 0) {
				return protoreflect.ValueOfFloat64(v), true
			}
		}
		want = "a number"
	default:
		want = "something that this server can read"
	}
	d.fault(at, "is %s; %s is needed", shown(tok), want)
	return protoreflect.Value{}, false
}

// shown is nameOf with the value where it is short.
func shown(tok json.Token) string {
	if n, ok := tok.(json.Number); ok && len(n) < 32 {
		return n.String()
	}
	return nameOf(tok)
}

// wholeText refuses half of a surrogate pair: the JSON reader replaces it in
// silence, and what is stored would not be what was sent.
func (d *decoder) wholeText(at, s string) bool {
	if !strings.ContainsRune(s, '\uFFFD') || d.hasReplacement() {
		return true
	}
	d.fault(at, "holds half of a surrogate pair (\\ud800 to \\udfff alone)")
	return false
}

// hasReplacement says whether the document itself spells U+FFFD somewhere. It looks once.
func (d *decoder) hasReplacement() bool {
	if d.replacement == nil {
		has := bytes.ContainsRune(d.data, '\uFFFD') || bytes.Contains(bytes.ToLower(d.data), []byte(`\ufffd`))
		d.replacement = &has
	}
	return *d.replacement
}

// wellKnown reads the messages that have a JSON form of their own. known says
// whether m is one.
func (d *decoder) wellKnown(m protoreflect.Message, at string, tok json.Token) (known bool, err error) {
	switch v := m.Interface().(type) {
	case *timestamppb.Timestamp:
		return true, d.timestamp(v, at, tok)
	case *durationpb.Duration:
		return true, d.duration(v, at, tok)
	case *structpb.Struct:
		return true, d.structure(v, at, tok)
	}
	return false, nil
}

func (d *decoder) timestamp(v *timestamppb.Timestamp, at string, tok json.Token) error {
	s, _ := tok.(string)
	t, err := ParseTime(s)
	if err != nil {
		d.fault(at, "%s", err)
		return d.skip(tok)
	}
	v.Seconds, v.Nanos = t.Unix(), int32(t.Nanosecond())
	return nil
}

func (d *decoder) duration(v *durationpb.Duration, at string, tok json.Token) error {
	s, _ := tok.(string)
	t, err := ParseDuration(s)
	if err != nil {
		d.fault(at, "%s", err)
		return d.skip(tok)
	}
	v.Seconds, v.Nanos = int64(t/time.Second), int32(t%time.Second)
	return nil
}

func (d *decoder) structure(v *structpb.Struct, at string, tok json.Token) error {
	if tok != json.Delim('{') {
		d.fault(at, "is %s; an object {…} is needed", nameOf(tok))
		return d.skip(tok)
	}
	v.Fields = map[string]*structpb.Value{}
	return d.object(at, func(key string, tok json.Token) (err error) {
		v.Fields[key], err = d.value(join(at, key), tok)
		return err
	})
}

// value reads any JSON.
func (d *decoder) value(at string, tok json.Token) (*structpb.Value, error) {
	switch t := tok.(type) {
	case string:
		d.wholeText(at, t)
		return structpb.NewStringValue(t), nil
	case bool:
		return structpb.NewBoolValue(t), nil
	case json.Number:
		f, err := t.Float64()
		if err != nil || math.IsInf(f, 0) {
			d.fault(at, "is %s, which is out of range", shown(tok))
		}
		return structpb.NewNumberValue(f), nil
	case json.Delim:
		if t == '{' {
			s := new(structpb.Struct)
			return structpb.NewStructValue(s), d.structure(s, at, tok)
		}
		list := new(structpb.ListValue)
		err := d.array(func(i int, tok json.Token) error {
			v, err := d.value(at+"["+strconv.Itoa(i)+"]", tok)
			list.Values = append(list.Values, v)
			return err
		})
		return structpb.NewListValue(list), err
	}
	return structpb.NewNullValue(), nil
}
