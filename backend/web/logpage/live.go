package logpage

import "bytes"

// Live renders a console as it comes, from the beginning of a page on.
type Live struct {
	index Index // of what was seen; its first page is the one that was begun with
	page  int   // that page's number in the console
	rows  rows
	html  bytes.Buffer
	shown int // bytes of the incomplete row that were rendered
}

// Live begins at a page.
func (x *Index) Live(page int) *Live {
	at := x.pages[page]
	return &Live{index: Index{pages: []mark{at}, at: at}, page: page, rows: rows{at: at}}
}

// Page is the number of the page that the output has reached.
func (l *Live) Page() int { return l.page + len(l.index.pages) - 1 }

// Feed takes the next bytes.
func (l *Live) Feed(p []byte) {
	l.rows.buf = append(l.rows.buf[:0], l.rows.buf[l.rows.from:]...)
	l.rows.buf, l.rows.from = append(l.rows.buf, p...), 0
	for {
		raw, size, ok := l.rows.take()
		if !ok {
			return
		}
		row := Row{Line: l.rows.at.line, Part: l.rows.at.part, raw: raw, style: l.rows.at.style}
		row.appendHTML(&l.html, "")
		l.index.add(row, size)
		l.rows.at = l.index.at
		l.shown = 0
	}
}

// Buffered is how many bytes of HTML Take would return of complete rows.
func (l *Live) Buffered() int { return l.html.Len() }

// Take returns the rows since the last call: complete ones, and as the last the
// one that is not, if it has grown. A row comes again under the same ID when it has.
func (l *Live) Take() string {
	if rest, ok := l.rows.rest(); ok && len(rest.raw) != l.shown {
		l.shown = len(rest.raw)
		rest.appendHTML(&l.html, "")
	}
	out := l.html.String()
	l.html.Reset()
	return out
}
