package wirejson

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// message reads the rest of an object into m.
func (d *decoder) message(m protoreflect.Message, path string) error {
	fields := m.Descriptor().Fields()
	return d.object(path, func(key string, tok json.Token) error {
		at := join(path, key)
		fd := fields.ByJSONName(key)
		if fd == nil {
			d.fault(at, "is not known here; what is: %s", names(fields))
			return d.skip(tok)
		}
		if tok == nil { // null: as if it were not there
			return nil
		}
		switch {
		case fd.IsMap():
			return d.mapField(m, fd, at, tok)
		case fd.IsList():
			return d.listField(m, fd, at, tok)
		case fd.Message() != nil:
			return d.messageField(m.Mutable(fd).Message(), at, tok)
		}
		if v, ok := d.scalar(fd, at, tok); ok {
			m.Set(fd, v)
			return nil
		}
		return d.skip(tok)
	})
}

func (d *decoder) messageField(m protoreflect.Message, at string, tok json.Token) error {
	if known, err := d.wellKnown(m, at, tok); known {
		return err
	}
	if tok != json.Delim('{') {
		d.fault(at, "is %s; an object {…} is needed", nameOf(tok))
		return d.skip(tok)
	}
	return d.message(m, at)
}

func (d *decoder) listField(m protoreflect.Message, fd protoreflect.FieldDescriptor, at string, tok json.Token) error {
	if tok != json.Delim('[') {
		d.fault(at, "is %s; a list […] is needed", nameOf(tok))
		return d.skip(tok)
	}
	list := m.Mutable(fd).List()
	return d.array(func(i int, tok json.Token) error {
		at := fmt.Sprintf("%s[%d]", at, i)
		if fd.Message() != nil {
			return d.messageField(list.AppendMutable().Message(), at, tok)
		}
		if v, ok := d.scalar(fd, at, tok); ok {
			list.Append(v)
			return nil
		}
		return d.skip(tok)
	})
}

// mapField reads an object into a map. All our maps have strings as keys.
func (d *decoder) mapField(m protoreflect.Message, fd protoreflect.FieldDescriptor, at string, tok json.Token) error {
	if tok != json.Delim('{') {
		d.fault(at, "is %s; an object {…} is needed", nameOf(tok))
		return d.skip(tok)
	}
	entries := m.Mutable(fd).Map()
	return d.object(at, func(key string, tok json.Token) error {
		if v, ok := d.scalar(fd.MapValue(), join(at, key), tok); ok {
			entries.Set(protoreflect.ValueOfString(key).MapKey(), v)
			return nil
		}
		return d.skip(tok)
	})
}

func names(fields protoreflect.FieldDescriptors) string {
	if fields.Len() == 0 {
		return "nothing"
	}
	list := make([]string, fields.Len())
	for i := range list {
		list[i] = fields.Get(i).JSONName()
	}
	return strings.Join(list, ", ")
}
