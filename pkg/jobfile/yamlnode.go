package jobfile

import (
	"fmt"
	"math"
	"regexp"

	"github.com/goccy/go-yaml/ast"
)

// value turns one YAML value into a node. depth counts the mappings and lists around it.
func (y *yamlReader) value(v ast.Node, depth int) *node {
	switch v := v.(type) {
	case nil:
		return &node{at: y.at(1, 1), size: 1}
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		if depth >= MaxDepth {
			y.tooDeep(y.tokenAt(v.GetToken()))
			return y.leaf(v, broken, "")
		}
		return y.collection(v, depth)
	case *ast.AnchorNode:
		n := y.value(v.Value, depth)
		if v.Name != nil {
			y.anchors[v.Name.GetToken().Value] = n
		}
		return n
	case *ast.AliasNode:
		return y.alias(v, depth)
	case *ast.TagNode:
		return y.refuse(v, "found the tag %s; no tags are read here, remove it", code(v.GetToken().Value))
	}
	return y.scalar(v)
}

func (y *yamlReader) collection(v ast.Node, depth int) *node {
	switch v := v.(type) {
	case *ast.MappingNode:
		return y.mapping(v, v.Values, depth)
	case *ast.MappingValueNode:
		return y.mapping(v, []*ast.MappingValueNode{v}, depth)
	}
	return y.list(v.(*ast.SequenceNode), depth)
}

func (y *yamlReader) leaf(v ast.Node, k kind, s string) *node {
	return &node{kind: k, at: y.tokenAt(v.GetToken()), text: s, size: 1}
}

// refuse is a value that has a meaning nowhere. In a Compose file the fault is
// told when somebody wants the value.
func (y *yamlReader) refuse(v ast.Node, format string, args ...any) *node {
	n := y.leaf(v, broken, "")
	if y.compose {
		n.text = fmt.Sprintf(format, args...)
	} else {
		y.c.fault(n.at, format, args...)
	}
	return n
}

// decimal is a whole number that every reader reads the same: 010 is 8 to some, 0x10 text to others.
var decimal = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)

func (y *yamlReader) scalar(v ast.Node) *node {
	switch v := v.(type) {
	case *ast.StringNode:
		return y.leaf(v, text, v.Value)
	case *ast.LiteralNode:
		return y.leaf(v, text, v.Value.Value)
	case *ast.BoolNode:
		n := y.leaf(v, boolean, v.GetToken().Value)
		n.bool = v.Value
		return n
	case *ast.IntegerNode:
		n := y.leaf(v, number, v.GetToken().Value)
		if !y.compose && !decimal.MatchString(n.text) {
			y.c.fault(n.at, "found the number %s; write whole numbers in decimal, without zeros in front", clip(n.text))
			n.kind = broken
		}
		switch i := v.Value.(type) {
		case int64:
			n.num = float64(i)
		case uint64:
			n.num = float64(i)
		}
		return n
	case *ast.FloatNode:
		n := y.leaf(v, number, v.GetToken().Value)
		n.num = v.Value
		return n
	case *ast.InfinityNode, *ast.NanNode:
		n := y.leaf(v, number, v.GetToken().Value)
		n.num = math.NaN()
		return n
	case *ast.NullNode:
		return y.leaf(v, null, "")
	}
	return y.refuse(v, "found a YAML %s, which has no meaning here", v.Type().YAMLName())
}

func (y *yamlReader) list(v *ast.SequenceNode, depth int) *node {
	n := y.leaf(v, list, "")
	n.depth = 1
	for _, item := range v.Values {
		child := y.value(item, depth+1)
		n.items = append(n.items, child)
		n.grow(child)
	}
	return n
}

func (y *yamlReader) mapping(v ast.Node, values []*ast.MappingValueNode, depth int) *node {
	n := y.leaf(v, mapping, "")
	n.depth = 1
	var merged []*node
	for i, entry := range values {
		if i == 0 {
			n.at = y.tokenAt(entry.Key.GetToken())
		}
		_, merge := entry.Key.(*ast.MergeKeyNode)
		name, ok := "", false
		if merge = merge && y.compose; !merge {
			name, ok = y.key(entry.Key)
		}
		child := y.value(entry.Value, depth+1)
		n.grow(child)
		at := y.tokenAt(entry.Key.GetToken())
		if child.kind == null && child.at.order > at.order {
			child = &node{kind: null, at: at, size: 1} // nothing stands nowhere; its key is what people look for
		}
		switch {
		case merge:
			merged = append(merged, child)
		case ok:
			n.pairs = append(n.pairs, pair{name, at, child})
		}
	}
	n.pairs = y.c.duplicates(n.pairs)
	for _, from := range merged {
		y.merge(n, from)
	}
	return n
}

// merge adds the entries of a merge key's value that are not there yet, as
// YAML 1.1's merge keys (yaml.org/type/merge.html) say it.
func (y *yamlReader) merge(n, from *node) {
	switch from.kind {
	case mapping:
		there := make(map[string]bool, len(n.pairs))
		for _, p := range n.pairs {
			there[p.key] = true
		}
		for _, p := range from.pairs {
			if !there[p.key] {
				n.pairs = append(n.pairs, p)
			}
		}
	case list:
		for _, item := range from.items {
			if item.kind == list {
				y.c.fault(item.at, "found a list within the list of a merge key; expected mappings")
				continue
			}
			y.merge(n, item)
		}
	case null, broken:
	default:
		y.c.fault(from.at, "found %s behind a merge key; expected a mapping, or a list of mappings", from.found())
	}
}

// key reads a key, which is plain or quoted text.
func (y *yamlReader) key(k ast.MapKeyNode) (string, bool) {
	at := y.tokenAt(k.GetToken())
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.MappingKeyNode:
		if inner, ok := k.Value.(*ast.StringNode); ok {
			return inner.Value, true
		}
		y.c.fault(at, "found a key that is not text")
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		if y.compose {
			return k.GetToken().Value, true
		}
		y.c.fault(at, "found the key %s, which YAML does not read as text; write it in quotes", code(k.GetToken().Value))
	case *ast.MergeKeyNode:
		y.c.fault(at, "found a merge key; a job file has none, write the keys out or let an alias stand for a whole value")
	default:
		y.c.fault(at, "found a key with an anchor, an alias or a tag; write it as text")
	}
	return "", false
}

// alias returns what an alias stands for. Anchors are known once their value
// has been read, so none can hold itself.
func (y *yamlReader) alias(v *ast.AliasNode, depth int) *node {
	at := y.tokenAt(v.GetToken())
	name := ""
	if v.Value != nil {
		name = v.Value.GetToken().Value
	}
	target, ok := y.anchors[name]
	if !ok {
		y.c.fault(at, "the alias *%s stands for nothing; no anchor &%s comes before it", clip(name), clip(name))
		return y.leaf(v, broken, "")
	}
	if depth+target.depth > MaxDepth {
		y.tooDeep(at)
		return y.leaf(v, broken, "")
	}
	if y.budget -= target.size; y.budget < 0 {
		y.c.fault(at, "the aliases up to here stand for more than %d values; write them out", MaxAliased)
		return y.leaf(v, broken, "")
	}
	return target
}
