package jobfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Describe returns the keys of the job file for people, one a paragraph, in
// the schema's order: path, default if it has one, meaning.
func Describe() string {
	var b strings.Builder
	describe(&b, "", schema)
	return b.String()
}

// property is what Describe reads of a property's schema.
type property struct {
	Description string          `json:"description"`
	Default     json.RawMessage `json:"default"`
	Properties  json.RawMessage `json:"properties"`
}

// describe writes the properties of one object's schema. Go's maps forget the
// order of keys, so they are read one by one.
func describe(b *strings.Builder, prefix string, object json.RawMessage) {
	var o property
	if json.Unmarshal(object, &o) != nil || o.Properties == nil {
		return
	}
	dec := json.NewDecoder(bytes.NewReader(o.Properties))
	_, _ = dec.Token() // the opening brace
	for dec.More() {
		name, _ := dec.Token()
		var raw json.RawMessage
		var p property
		if dec.Decode(&raw) != nil || json.Unmarshal(raw, &p) != nil {
			return
		}
		fmt.Fprintf(b, "%s%v", prefix, name)
		if p.Default != nil {
			fmt.Fprintf(b, " (default %s)", p.Default)
		}
		fmt.Fprintf(b, "\n    %s\n", p.Description)
		describe(b, prefix+fmt.Sprint(name)+".", raw)
	}
}
