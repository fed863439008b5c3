// Package wirejson is the JSON of the wire, for REST and Connect alike: what
// protobuf's JSON mapping says, read strictly. Unknown and doubled fields,
// wrong types, other spellings of a name and trailing bytes are errors that
// name the place as a JSON path.
package wirejson

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Marshal writes compact JSON, fields in the order of the .proto file. Fields
// that are not set are written too, except messages and optional ones.
func Marshal(m proto.Message) ([]byte, error) {
	loose, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	// protojson adds spaces at random so that nobody relies on its bytes; we hash them.
	var b bytes.Buffer
	b.Grow(len(loose))
	if err := json.Compact(&b, loose); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Codec is the strict JSON for Connect.
type Codec struct{ name string }

// Codecs returns one codec for each name that clients use for JSON.
func Codecs() []Codec { return []Codec{{"json"}, {"json; charset=utf-8"}} }

// Name is the subtype in Content-Type: application/json.
func (c Codec) Name() string { return c.name }

// Marshal writes a message.
func (Codec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a message", v)
	}
	return Marshal(m)
}

// Unmarshal reads a message strictly.
func (Codec) Unmarshal(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a message", v)
	}
	return Unmarshal(data, m)
}

// IsBinary is false: JSON is text.
func (Codec) IsBinary() bool { return false }

// MarshalStable writes what Marshal writes: it is stable already.
func (c Codec) MarshalStable(v any) ([]byte, error) { return c.Marshal(v) }
