// Package wirejson is the JSON of the wire, for REST and Connect alike: what
// protobuf's JSON mapping says, read strictly. Unknown and doubled fields,
// wrong types, other spellings of a name and trailing bytes are errors that
// name the place as a JSON path.
package wirejson

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

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
