// Package logpage shows console output of any size as HTML: rows with a number,
// in pages that are found by number, by line, or from the end. Output is a
// stranger's: text and colours are shown, and nothing else that it asks for.
package logpage

import (
	"bytes"
	"errors"
	"html/template"
	"io"
	"reflect"
	"sort"
)

// Limits of a page and of a row. A page ends with the first row that reaches
// one of the first two.
const (
	PageRows  = 500
	PageBytes = 128 << 10
	// RowBytes is how much of a line stands in one row.
	RowBytes = 4 << 10
)

// mark is a place in a console: where a page begins.
type mark struct {
	offset int64 // bytes
	line   int64 // of the row that begins there
	part   int
	style  style
}

// Index knows where the pages of one console begin. It grows with the console,
// and is made again by reading it: it holds nothing else. Not safe for many at once.
type Index struct {
	pages []mark
	at    mark // behind the last complete row
	rows  int  // of the last page
	bytes int
}

// NewIndex returns the index of an empty console.
func NewIndex() *Index {
	first := mark{line: 1}
	return &Index{pages: []mark{first}, at: first}
}

// End is the offset up to which the console is known: what Scan reads comes from there.
func (x *Index) End() int64 { return x.at.offset }

// Size is about how many bytes of memory the index takes.
func (x *Index) Size() int64 {
	return int64(reflect.TypeFor[Index]().Size()) + int64(cap(x.pages))*int64(reflect.TypeFor[mark]().Size())
}

// Snapshot is the index as it is now. It may be read while this one grows.
func (x *Index) Snapshot() *Index {
	now := *x
	now.pages = x.pages[:len(x.pages):len(x.pages)] // places of pages never change, so they are shared
	return &now
}

// Pages is how many pages there are; at least one.
func (x *Index) Pages() int { return len(x.pages) }

// Lines is how many lines are complete.
func (x *Index) Lines() int64 { return x.at.line - 1 }

// PageOf is the page that holds a line, or the last.
func (x *Index) PageOf(line int64) int {
	i := sort.Search(len(x.pages), func(i int) bool {
		p := x.pages[i]
		return p.line > line || (p.line == line && p.part > 0)
	})
	return max(0, i-1)
}

// Begin is the offset at which a page begins.
func (x *Index) Begin(page int) int64 { return x.pages[page].offset }

// First is the number of the first line of a page.
func (x *Index) First(page int) int64 { return x.pages[page].line }

// Scan goes on over r, which begins at End. An incomplete row at its end is left for the next time.
func (x *Index) Scan(r io.Reader) error {
	rows := newRows(r, x.at)
	for {
		row, size, err := rows.next()
		if err != nil {
			return atEnd(err)
		}
		x.add(row, size)
	}
}

func (x *Index) add(row Row, size int) {
	if x.rows == PageRows || x.bytes >= PageBytes {
		x.pages = append(x.pages, x.at)
		x.rows, x.bytes = 0, 0
	}
	x.rows++
	x.bytes += size
	x.at = row.behind(x.at, size)
}

// behind is the mark after a complete row.
func (r *Row) behind(at mark, size int) mark {
	at.offset += int64(size)
	at.style = r.style.after(r.raw)
	if len(r.raw) == size { // the line goes on
		at.part++
	} else {
		at.line, at.part = at.line+1, 0
	}
	return at
}

func atEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Render writes a page's rows. r begins at Begin(page); what lies behind the page is not read.
// link is the address that the rows' numbers link to, "" for the document itself.
func (x *Index) Render(r io.Reader, page int, link string) (template.HTML, error) {
	if page < len(x.pages)-1 {
		r = io.LimitReader(r, x.pages[page+1].offset-x.pages[page].offset)
	}
	rows := newRows(r, x.pages[page])
	var b bytes.Buffer
	for {
		row, _, err := rows.next()
		if err != nil {
			if rest, ok := rows.rest(); ok {
				rest.appendHTML(&b, link)
			}
			return template.HTML(b.String()), atEnd(err) //nolint:gosec // appendHTML escapes
		}
		row.appendHTML(&b, link)
	}
}

// rows cuts a stream into rows.
type rows struct {
	r    io.Reader
	at   mark
	buf  []byte
	from int // the first byte of buf that is not taken
	err  error
}

func newRows(r io.Reader, at mark) *rows { return &rows{r: r, at: at} }

// next returns the next complete row, and how many bytes it takes with its line
// end. The row is good until the next call. io.EOF leaves what is not complete to rest.
func (s *rows) next() (Row, int, error) {
	for {
		if raw, size, ok := s.take(); ok {
			row := Row{Line: s.at.line, Part: s.at.part, raw: raw, style: s.at.style}
			s.at = row.behind(s.at, size)
			return row, size, nil
		}
		if s.err != nil {
			return Row{}, 0, s.err
		}
		s.fill()
	}
}

// take cuts a complete row off the buffer.
func (s *rows) take() (raw []byte, size int, ok bool) {
	rest := s.buf[s.from:]
	i := bytes.IndexByte(rest[:min(len(rest), RowBytes+1)], '\n')
	switch {
	case i >= 0:
		raw, size = rest[:i], i+1
	case len(rest) > RowBytes:
		size = cut(rest, RowBytes)
		raw = rest[:size]
	default:
		return nil, 0, false
	}
	s.from += size
	return raw, size, true
}

func (s *rows) fill() {
	const piece = 64 << 10
	s.buf = append(s.buf[:0], s.buf[s.from:]...)
	s.from = 0
	n := len(s.buf)
	if cap(s.buf) < n+piece {
		s.buf = append(make([]byte, 0, n+2*piece), s.buf...)
	}
	k, err := s.r.Read(s.buf[n : n+piece])
	s.buf, s.err = s.buf[:n+k], err
}

// rest is the row that is not complete.
func (s *rows) rest() (Row, bool) {
	raw := s.buf[s.from:]
	return Row{Line: s.at.line, Part: s.at.part, raw: raw, style: s.at.style}, len(raw) > 0
}
