package jobfile

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// readYAML reads the one document of a job file. It returns nil after a fault
// that leaves nothing to check.
func readYAML(c *checker, name string, data []byte) *node {
	y := &yamlReader{c: c, name: name, anchors: map[string]*node{}, budget: MaxAliased}
	return y.read(data)
}

// readCompose reads the one document of a Compose file, with what Compose
// knows beyond a job file: merge keys, keys that YAML takes for numbers, numbers
// in any base. What it can't take stays in the tree as broken, since it may
// stand in a service that nobody wants.
func readCompose(c *checker, name string, data []byte) *node {
	y := &yamlReader{c: c, name: name, anchors: map[string]*node{}, budget: MaxAliased, compose: true, base: c.nextFile()}
	return y.read(data)
}

func (y *yamlReader) read(data []byte) *node {
	c := y.c
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !checkInput(c, func(offset int) place { return y.at(lineColumn(data, offset)) }, data) {
		return nil
	}
	tokens := lexer.Tokenize(string(data))
	if !y.guard(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		y.syntax(err)
		return nil
	}
	return y.document(file)
}

// lineColumn finds an offset, for faults that come before any token.
func lineColumn(data []byte, offset int) (line, column int) {
	before := data[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, len([]rune(string(before[start:]))) + 1
}

// yamlReader turns a syntax tree into nodes: aliases expanded, everything
// that has more than one reading refused.
type yamlReader struct {
	c       *checker
	name    string
	anchors map[string]*node
	budget  int // nodes that aliases may still stand for
	compose bool
	base    int // what its places begin at in the order of faults
}

func (y *yamlReader) at(line, column int) place {
	return place{fmt.Sprintf("%s:%d:%d", y.name, line, column), y.base + (line<<20 | min(column, 1<<20-1))}
}

// tokenAt is the place of a token; the file's start for what has none.
func (y *yamlReader) tokenAt(t *token.Token) place {
	if t == nil || t.Position == nil {
		return y.at(1, 1)
	}
	return y.at(max(t.Position.Line, 1), max(t.Position.Column, 1))
}

func (y *yamlReader) syntax(err error) {
	var s *yaml.SyntaxError
	if !errors.As(err, &s) {
		y.c.fault(y.at(1, 1), "is not YAML: %v", err)
		return
	}
	y.c.fault(y.tokenAt(s.Token), "is not YAML: %s", clip(s.Message))
}

// maxTokens is several times what the largest sensible job file has. The
// parser's time grows with the square of a mapping's length.
const maxTokens = 10_000

// guard bounds length and nesting before the parser, which recurses, sees the
// tokens. For the nesting it follows brackets, and the columns at which block
// lists and mappings begin.
func (y *yamlReader) guard(tokens token.Tokens) bool {
	if len(tokens) > maxTokens {
		y.c.fault(y.tokenAt(tokens[maxTokens]), "the file has more than %d keys, values and marks; a script in one block counts as one", maxTokens)
		return false
	}
	flow := 0
	var block []int
	for i, t := range tokens {
		column := t.Position.Column
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(flow-1, 0)
		case token.MappingValueType:
			if i > 0 {
				column = tokens[i-1].Position.Column
			}
			block = enter(block, column, flow)
		case token.SequenceEntryType, token.MappingKeyType:
			block = enter(block, column, flow)
		}
		if flow+len(block) > 2*MaxDepth {
			y.tooDeep(y.tokenAt(t))
			return false
		}
	}
	return true
}

// enter notes that a block list or mapping has an entry at a column.
func enter(block []int, column, flow int) []int {
	if flow > 0 {
		return block
	}
	for len(block) > 0 && block[len(block)-1] >= column {
		block = block[:len(block)-1]
	}
	return append(block, column)
}

func (y *yamlReader) tooDeep(at place) {
	y.c.fault(at, "is nested too deeply; at most %d levels are allowed", MaxDepth)
}

// document picks the one document of the file.
func (y *yamlReader) document(file *ast.File) *node {
	var root *node
	for _, d := range file.Docs {
		switch d.Body.(type) {
		case nil, *ast.CommentGroupNode:
			continue
		case *ast.DirectiveNode:
			y.c.fault(y.tokenAt(d.Body.GetToken()), "found a YAML directive; it has no meaning here, remove the line")
			return nil
		}
		if root != nil {
			at := d.Start
			if at == nil {
				at = d.Body.GetToken()
			}
			y.c.fault(y.tokenAt(at), "found a second document; a file holds one")
			break
		}
		root = y.value(d.Body, 0)
	}
	switch {
	case root != nil:
	case y.compose:
		y.c.fault(y.at(1, 1), "the file is empty; expected a mapping with the key `services`")
	default:
		y.c.fault(y.at(1, 1), "the file is empty; expected a job, for example `script: make test`")
	}
	return root
}
