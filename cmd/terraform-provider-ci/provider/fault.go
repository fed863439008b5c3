package provider

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"ci/pkg/ci"
)

// fault tells of an error, at the attributes that it is about. nil tells nothing.
func (m *managed[M]) fault(ctx context.Context, diags *diag.Diagnostics, what string, err error) {
	var e *ci.Error
	switch {
	case err == nil:
	case !errors.As(err, &e) || len(e.Fields) == 0:
		diags.AddError(m.title(what), err.Error())
	default:
		for _, f := range e.Fields {
			if at, ok := m.place(ctx, f.Path); ok {
				diags.AddAttributeError(at, m.title(what), f.Path+": "+f.Message)
			} else {
				diags.AddError(m.title(what), f.Path+": "+f.Message)
			}
		}
	}
}

// place finds the attribute that a field of the API's is, or the one that
// holds it: parameters[0].name, git.configPath, freestyle.script.
func (m *managed[M]) place(ctx context.Context, field string) (at path.Path, ok bool) {
	for _, part := range strings.FieldsFunc(field, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		next := at.AtName(snake(part))
		if n, err := strconv.Atoi(part); err == nil && ok {
			next = at.AtListIndex(n)
		}
		if _, diags := m.schema.TypeAtPath(ctx, next); diags.HasError() {
			break
		}
		at, ok = next, true
	}
	if !ok && m.text != "" {
		return path.Root(m.text), true
	}
	return at, ok
}

// snake writes configPath as config_path, as attributes are.
func snake(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
