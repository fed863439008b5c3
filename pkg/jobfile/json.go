package jobfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// readJSON reads a JSON object that a request carried under the key root. It
// returns nil after a fault that leaves nothing to check.
func readJSON(c *checker, root string, data []byte) *node {
	top := place{name: root}
	if !checkInput(c, func(int) place { return top }, data) {
		return nil
	}
	r := &jsonReader{c: c, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	n, err := r.value(root, 0)
	if err == nil {
		if _, end := r.dec.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		c.fault(top, "is not JSON at byte %d: %v", r.dec.InputOffset(), err)
		return nil
	}
	return n
}

type jsonReader struct {
	c   *checker
	dec *json.Decoder
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// member is the path of a key of the object at path.
func member(path, key string) string {
	if plainKey.MatchString(key) {
		return path + "." + key
	}
	return path + "[" + quote(key) + "]"
}

var errTooDeep = fmt.Errorf("it is nested too deeply; at most %d levels are allowed", MaxDepth)

func (r *jsonReader) value(path string, depth int) (*node, error) {
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &node{at: place{path, int(r.dec.InputOffset())}, size: 1}
	switch t := t.(type) {
	case bool:
		n.kind, n.bool, n.text = boolean, t, fmt.Sprint(t)
	case json.Number:
		n.kind, n.text = number, t.String()
		if n.num, err = t.Float64(); err != nil {
			return nil, fmt.Errorf("the number %s is out of range", clip(n.text))
		}
	case string:
		n.kind, n.text = text, t
	case json.Delim:
		n.depth = 1
		if depth >= MaxDepth {
			return nil, errTooDeep
		}
		if t == '[' {
			return n, r.list(n, depth+1)
		}
		return n, r.mapping(n, depth+1)
	}
	return n, nil
}

func (r *jsonReader) list(n *node, depth int) error {
	n.kind = list
	for i := 0; r.dec.More(); i++ {
		child, err := r.value(fmt.Sprintf("%s[%d]", n.at.name, i), depth)
		if err != nil {
			return err
		}
		n.items = append(n.items, child)
		n.grow(child)
	}
	_, err := r.dec.Token()
	return err
}

func (r *jsonReader) mapping(n *node, depth int) error {
	n.kind = mapping
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		at := place{member(n.at.name, name), int(r.dec.InputOffset())}
		child, err := r.value(at.name, depth)
		if err != nil {
			return err
		}
		n.pairs = append(n.pairs, pair{name, at, child})
		n.grow(child)
	}
	n.pairs = r.c.duplicates(n.pairs)
	_, err := r.dec.Token()
	return err
}
