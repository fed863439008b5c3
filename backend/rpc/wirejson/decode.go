package wirejson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"ci/pkg/ci"
)

const (
	maxDepth  = 64
	maxFaults = 20
)

// Unmarshal reads one JSON object into m. Everything that is wrong with its
// contents comes back together, as a ci.Error with a field for each; broken
// syntax comes back alone.
func Unmarshal(data []byte, m proto.Message) error {
	if !utf8.Valid(data) {
		return ci.Errorf(ci.CodeInvalid, "the request body is not valid UTF-8")
	}
	d := &decoder{json: json.NewDecoder(bytes.NewReader(data)), data: data}
	d.json.UseNumber()
	if err := d.document(m.ProtoReflect()); err != nil {
		return d.syntax(err)
	}
	if len(d.faults) > 0 {
		return &ci.Error{Code: ci.CodeInvalid, Message: "the request body is not valid", Fields: d.faults}
	}
	return nil
}

// decoder walks JSON and a message together. Its methods return an error for
// broken syntax alone, after which nothing more can be read; faults collect the rest.
type decoder struct {
	json   *json.Decoder
	data   []byte
	faults []ci.Field
	depth  int
	// replacement is what hasReplacement found; nil before it looked.
	replacement *bool
}

var errDepth = fmt.Errorf("is nested deeper than %d levels", maxDepth)

func (d *decoder) document(m protoreflect.Message) error {
	tok, err := d.json.Token()
	if err != nil {
		return err
	}
	if tok != json.Delim('{') {
		d.fault("", "is %s; an object {…} is needed", nameOf(tok))
		if err := d.skip(tok); err != nil {
			return err
		}
	} else if err := d.message(m, ""); err != nil {
		return err
	}
	if _, err := d.json.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the end of the JSON document")
	}
	return nil
}

// syntax turns a reading error into a sentence with line and column.
func (d *decoder) syntax(err error) error {
	at := d.json.InputOffset()
	var s *json.SyntaxError
	if errors.As(err, &s) {
		at = s.Offset
		// The reader counts the byte that it stumbled over in some places and not in others.
		if at > 0 && (at >= int64(len(d.data)) || !strings.Contains(s.Error(), strconv.QuoteRune(rune(d.data[at])))) {
			at--
		}
	}
	before := d.data[:min(int(at), len(d.data))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends before its end")
	}
	return &ci.Error{
		Code:    ci.CodeInvalid,
		Message: fmt.Sprintf("the request body is not valid JSON: line %d, column %d: %s", line, column, strings.TrimPrefix(err.Error(), "json: ")),
		Cause:   err,
	}
}

func (d *decoder) fault(path, format string, args ...any) {
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, ci.Field{Path: path, Message: fmt.Sprintf(format, args...)})
	}
}

// enter and leave bound the nesting, so that no input exhausts the stack.
func (d *decoder) enter() error {
	if d.depth++; d.depth > maxDepth {
		return errDepth
	}
	return nil
}

func (d *decoder) leave() { d.depth-- }

// object reads the rest of an object whose { has been read, up to its }. each
// is called with the first token of every value and reads the rest of it.
func (d *decoder) object(path string, each func(key string, tok json.Token) error) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	seen := map[string]bool{}
	for d.json.More() {
		tok, err := d.json.Token()
		if err != nil {
			return err
		}
		key := tok.(string) // the decoder refuses any other key
		value, err := d.json.Token()
		if err != nil {
			return err
		}
		if seen[key] {
			d.fault(join(path, key), "is there twice")
			if err := d.skip(value); err != nil {
				return err
			}
			continue
		}
		seen[key] = true
		if err := each(key, value); err != nil {
			return err
		}
	}
	_, err := d.json.Token()
	return err
}

// array reads the rest of an array whose [ has been read, up to its ].
func (d *decoder) array(each func(i int, tok json.Token) error) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	for i := 0; d.json.More(); i++ {
		tok, err := d.json.Token()
		if err != nil {
			return err
		}
		if err := each(i, tok); err != nil {
			return err
		}
	}
	_, err := d.json.Token()
	return err
}

// skip reads past the value that tok begins.
func (d *decoder) skip(tok json.Token) error {
	switch tok {
	case json.Delim('{'):
		return d.object("", func(_ string, t json.Token) error { return d.skip(t) })
	case json.Delim('['):
		return d.array(func(_ int, t json.Token) error { return d.skip(t) })
	}
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nameOf says what a token begins, for people.
func nameOf(tok json.Token) string {
	switch t := tok.(type) {
	case json.Delim:
		if t == '{' {
			return "an object"
		}
		return "a list"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	}
	return "null"
}
