package logpage

import (
	"bytes"
	"html/template"
	"io"
	"strings"
)

// Hits is what a search has found.
type Hits struct {
	// Rows are rendered; their numbers link to where they stand.
	Rows template.HTML
	// Count is how many rows were found; More says that the search stopped at its limit.
	Count int
	More  bool
}

// Search finds the rows of a whole console whose text holds query, in any case, and
// renders the first limit of them. link makes the address that a row's number links to.
func Search(r io.Reader, query string, limit int, link func(line int64) string) (Hits, error) {
	want := strings.ToLower(query)
	rows := newRows(r, mark{line: 1})
	var b bytes.Buffer
	var hits Hits
	for {
		row, _, err := rows.next()
		ended := err != nil
		if ended {
			rest, ok := rows.rest()
			if !ok {
				break
			}
			row = rest
		}
		if row.holds(want) {
			if hits.Count == limit {
				hits.More = true
				break
			}
			hits.Count++
			row.appendHTML(&b, link(row.Line))
		}
		if ended {
			if err := atEnd(err); err != nil {
				return hits, err
			}
			break
		}
	}
	hits.Rows = template.HTML(b.String()) //nolint:gosec // appendHTML escapes
	return hits, nil
}

// holds says whether the row's text has want, which is in lower case.
func (r *Row) holds(want string) bool {
	if plain(r.raw) {
		return strings.Contains(strings.ToLower(string(r.raw)), want)
	}
	return strings.Contains(strings.ToLower(r.Text()), want)
}
