package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/itchyny/gojq"
)

// wantsJSON says whether data is printed as JSON, or made from it, rather than for people.
func (a *app) wantsJSON() bool { return a.json.set || a.jq != "" || a.template != "" }

// printGet prints the document at a path of the server.
func (a *app) printGet(ctx context.Context, path string) error {
	r, err := a.rest()
	if err != nil {
		return err
	}
	doc, err := r.document(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return a.printJSON(ctx, doc)
}

// printLine prints the document at a path of the server on one line, in a stream of them.
func (a *app) printLine(ctx context.Context, path string) error {
	r, err := a.rest()
	if err != nil {
		return err
	}
	doc, err := r.document(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return a.printItem(ctx, doc)
}

// printJSON prints one document, or what --json FIELDS, --jq and --template make of it. A pipe gets the
// document on one line.
func (a *app) printJSON(ctx context.Context, doc json.RawMessage) error {
	doc, err := a.json.choose(doc)
	if err != nil {
		return err
	}
	switch {
	case a.jq != "":
		return a.printJQ(ctx, doc)
	case a.template != "":
		return a.printTemplate(doc)
	}
	var b bytes.Buffer
	if a.OutTTY {
		err = json.Indent(&b, doc, "", "  ")
	} else {
		err = json.Compact(&b, doc)
	}
	if err != nil {
		return err
	}
	return a.printDocument(b.String())
}

// printDocument prints JSON text. Within JSON a terminal may be harmed by C1
// and bidirectional controls only: the others are escaped by its grammar.
func (a *app) printDocument(s string) error {
	if a.OutTTY {
		s = cleanJSON(s)
	}
	_, err := fmt.Fprintln(a.Out, s)
	return err
}

func compileJQ(expression string) (*gojq.Code, error) {
	q, err := gojq.Parse(expression)
	if err != nil {
		return nil, err
	}
	return gojq.Compile(q, gojq.WithEnvironLoader(func() []string { return nil }))
}

// printJQ prints each value of the expression on a line; texts as they are.
func (a *app) printJQ(ctx context.Context, doc json.RawMessage) error {
	code, err := compileJQ(a.jq)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil && err != io.EOF {
		return err
	}
	for values := code.RunWithContext(ctx, v); ; {
		got, ok := values.Next()
		if !ok {
			return nil
		}
		if err, ok := got.(error); ok {
			var halt *gojq.HaltError
			if errors.As(err, &halt) && halt.Value() == nil {
				return nil
			}
			return usagef("--jq: %w", err)
		}
		if err := a.printJQValue(got); err != nil {
			return err
		}
	}
}

func (a *app) printJQValue(v any) error {
	if s, ok := v.(string); ok {
		if a.OutTTY {
			s = cleanLines(s)
		}
		_, err := fmt.Fprintln(a.Out, s)
		return err
	}
	b, err := gojq.Marshal(v)
	if err != nil {
		return err
	}
	return a.printDocument(string(b))
}

// printItem prints one item of a stream as a line of JSON.
func (a *app) printItem(ctx context.Context, item any) error {
	doc, err := json.Marshal(item)
	if err == nil {
		doc, err = a.json.choose(doc)
	}
	switch {
	case err != nil:
		return err
	case a.jq != "":
		return a.printJQ(ctx, doc)
	case a.template != "":
		return a.printTemplate(doc)
	}
	return a.printDocument(string(doc))
}

// note prints a line of progress for people.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.Err, format+"\n", args...)
}

// hint prints what one may want to do next, to people only.
func (a *app) hint(format string, args ...any) {
	if a.ErrTTY {
		a.note(format, args...)
	}
}
