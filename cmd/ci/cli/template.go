package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// parseTemplate reads the text of --template.
func (a *app) parseTemplate(text string) (*template.Template, error) {
	return template.New("--template").Funcs(template.FuncMap{
		"json":     toJSON,
		"join":     joinValues,
		"age":      a.ageOf,
		"truncate": truncate,
	}).Parse(text)
}

// printTemplate prints what --template makes of a document. Values are foreign:
// a terminal gets them harmless.
func (a *app) printTemplate(doc json.RawMessage) error {
	t, err := a.parseTemplate(a.template)
	if err != nil {
		return usagef("--template: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("the document is not JSON: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, v); err != nil {
		return usagef("--template: %w", err)
	}
	text := b.String()
	if a.OutTTY {
		text = cleanTabbed(text)
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err = fmt.Fprint(a.Out, text)
	return err
}

// cleanTabbed is cleanLines that leaves the template's tabs.
func cleanTabbed(s string) string {
	parts := strings.Split(s, "\t")
	for i := range parts {
		parts[i] = cleanLines(parts[i])
	}
	return strings.Join(parts, "\t")
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// joinValues joins a list with a separator between its items.
func joinValues(separator string, list any) (string, error) {
	items, ok := list.([]any)
	if !ok {
		return "", fmt.Errorf("join: %v is not a list", list)
	}
	parts := make([]string, len(items))
	for i, item := range items {
		parts[i] = fmt.Sprint(item)
	}
	return strings.Join(parts, separator), nil
}

// ageOf says how long ago a time of the API was; "" for none.
func (a *app) ageOf(v any) (string, error) {
	s, _ := v.(string)
	if s == "" {
		return "", nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return "", fmt.Errorf("age: %q is not a time", s)
	}
	return age(a.Now(), t), nil
}

// truncate cuts a text to n characters.
func truncate(n int, v any) string {
	s := fmt.Sprint(v)
	if n < 1 || utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
