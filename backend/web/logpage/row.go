package logpage

import (
	"bytes"
	"html"
	"strconv"
	"strings"
	"unicode/utf8"

	"ci/pkg/terminal"
)

// Row is a line of a console, or a piece of one that is very long.
type Row struct {
	// Line is the line's number, from 1. Part is 0 for its beginning.
	Line int64
	Part int

	raw   []byte // without its line end
	style style  // before it
}

// ID is what a link calls the row: "L12", or "L12.3" for a later piece of a line.
func (r *Row) ID() string {
	id := "L" + strconv.FormatInt(r.Line, 10)
	if r.Part > 0 {
		id += "." + strconv.Itoa(r.Part+1)
	}
	return id
}

// Text is the row without colours.
func (r *Row) Text() string {
	text, _ := visible(filtered(r.raw, false))
	return text
}

// appendHTML writes the row as one element, and returns the style after it.
// page is the address that the row's number links to, "" for the page itself.
func (r *Row) appendHTML(b *bytes.Buffer, page string) style {
	id := r.ID()
	b.WriteString(`<div class=r id=`)
	b.WriteString(id)
	b.WriteString(`><a href="`)
	b.WriteString(html.EscapeString(page) + "#" + id)
	if r.Part > 0 {
		b.WriteString(`" tabindex=-1 aria-label="line ` + strconv.FormatInt(r.Line, 10) + ` goes on"></a><span>`)
	} else {
		b.WriteString(`">` + strconv.FormatInt(r.Line, 10) + `</a><span>`)
	}
	s := r.style
	text, before := visible(filtered(r.raw, true))
	s.through(before, nil)
	s.through(text, b)
	b.WriteString("</span></div>\n")
	return s
}

// filtered is what may be shown of console output: text, tabs, carriage
// returns, and colours if they are wanted.
func filtered(raw []byte, color bool) string {
	if plain(raw) {
		return string(raw)
	}
	var b bytes.Buffer
	f := terminal.NewFilter(&b, color)
	_, _ = f.Write(raw)
	_ = f.Close() // a buffer takes everything
	// The filter ends colours at its end; here they go on in the next row.
	return strings.TrimSuffix(b.String(), "\x1b[0m")
}

func plain(raw []byte) bool {
	for _, c := range raw {
		if (c < 0x20 && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

// visible cuts a line that carriage returns have written over: text is what
// stands there at the end, and before what only its colours are left of.
func visible(line string) (text, before string) {
	line = strings.TrimRight(line, "\r")
	i := strings.LastIndexByte(line, '\r')
	return line[i+1:], line[:i+1]
}

// through goes over filtered text, and writes it as HTML if b is not nil.
func (s *style) through(text string, b *bytes.Buffer) {
	for text != "" {
		i := strings.IndexByte(text, 0x1b)
		if i < 0 {
			i = len(text)
		}
		if b != nil && i > 0 {
			s.span(b, text[:i])
		}
		if i == len(text) {
			return
		}
		end := strings.IndexByte(text[i:], 'm')
		if end < 0 {
			return // the filter lets no other sequence pass
		}
		s.apply(text[i+2 : i+end])
		text = text[i+end+1:]
	}
}

func (s *style) span(b *bytes.Buffer, text string) {
	classes := s.classes()
	if classes == "" {
		b.WriteString(html.EscapeString(text))
		return
	}
	b.WriteString(`<span class="` + classes + `">`)
	b.WriteString(html.EscapeString(text))
	b.WriteString(`</span>`)
}

// after is the style behind raw output that is not shown.
func (s style) after(raw []byte) style {
	for {
		i := bytes.Index(raw, []byte("\x1b["))
		if i < 0 {
			return s
		}
		raw = raw[i+2:]
		n := 0
		for n < len(raw) && (raw[n] >= '0' && raw[n] <= '9' || raw[n] == ';' || raw[n] == ':') && n < 64 {
			n++
		}
		if n < len(raw) && raw[n] == 'm' {
			s.apply(string(raw[:n]))
		}
	}
}

// cut is where a line that is longer than limit is cut: between characters,
// and not within a sequence.
func cut(line []byte, limit int) int {
	at := limit
	for at > limit-utf8.UTFMax && at > 0 && !utf8.RuneStart(line[at]) {
		at--
	}
	const longest = 70
	if esc := bytes.LastIndexByte(line[max(0, at-longest):at], 0x1b); esc >= 0 {
		esc += max(0, at-longest)
		if bytes.IndexByte(line[esc:at], 'm') < 0 && esc > 0 {
			return esc
		}
	}
	return at
}
