package main

import (
	"cmp"
	"fmt"
	"html"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// look is how a cell looks: SGR as far as the terminal UI uses it.
type look struct {
	fg, bg                        string // "" is the terminal's own
	bold, faint, under, backwards bool
}

// piece is a text in one look, at a column.
type piece struct {
	look
	at   int
	text string
}

// Sizes of a cell, in pixels.
const (
	cellWidth  = 8.4
	cellHeight = 18
	margin     = 12
)

// colours of a terminal: its ground, its text, and the 16.
type colours struct {
	ground, text string
	sixteen      [16]string
}

func darkColours() colours {
	return colours{"#14181f", "#d7dde5", [16]string{
		"#14181f", "#e06c75", "#6cc08b", "#d8b560", "#61a5e8", "#c291e0", "#5cc4cf", "#c8ced6",
		"#6b7280", "#ff8a80", "#8ee0a8", "#f2d07a", "#8cc4ff", "#dcb3f5", "#8ae3ec", "#ffffff",
	}}
}

func lightColours() colours {
	return colours{"#fbfbfa", "#1f2328", [16]string{
		"#1f2328", "#c21f2c", "#1a7f37", "#8a5a00", "#0b5cad", "#8431b8", "#0f7c86", "#6b7280",
		"#6b7280", "#d8333f", "#22913f", "#9c6a08", "#1c6fc4", "#9a49cc", "#178b96", "#1f2328",
	}}
}

// svg draws what is on a screen.
func svg(screen, title string, c colours) string {
	var b strings.Builder
	begin(&b, screen, title, c)
	frame(&b, screen, c)
	b.WriteString("</svg>\n")
	return b.String()
}

// film draws screens one after the other, for so many seconds each, over and over.
func film(screens []string, title string, each float64, c colours) string {
	var b strings.Builder
	begin(&b, screens[0], title, c)
	share := 100 / float64(len(screens))
	fmt.Fprintf(&b, "<style>.f{opacity:0;animation:f %.1fs step-end infinite}@keyframes f{0%%{opacity:1}%.3f%%{opacity:0}}</style>\n", each*float64(len(screens)), share)
	for i, s := range screens {
		fmt.Fprintf(&b, `<g class="f" style="animation-delay:%.1fs">`+"\n", float64(i)*each)
		frame(&b, s, c)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// begin begins a picture that is as large as a screen.
func begin(b *strings.Builder, screen, title string, c colours) {
	lines, w := strings.Split(strings.TrimRight(screen, "\n"), "\n"), 0
	for _, l := range lines {
		w = max(w, ansi.StringWidth(l))
	}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" role="img" aria-label="%s">`+"\n",
		float64(w)*cellWidth+2*margin, len(lines)*cellHeight+2*margin, html.EscapeString(title))
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", c.ground)
}

// frame draws the text of one screen.
func frame(b *strings.Builder, screen string, c colours) {
	fmt.Fprintf(b, `<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" fill="%s" xml:space="preserve">`+"\n", c.text)
	for y, l := range strings.Split(strings.TrimRight(screen, "\n"), "\n") {
		for _, p := range pieces(l, c) {
			p.ground(b, y, c)
			for _, word := range p.words() {
				word.draw(b, y, c)
			}
		}
	}
	b.WriteString("</g>\n")
}

// seen are the colours that are seen: backwards they are the other way round.
func (p *piece) seen(c colours) (fg, bg string) {
	if p.backwards {
		return cmp.Or(p.bg, c.ground), cmp.Or(p.fg, c.text)
	}
	return p.fg, p.bg
}

func (p *piece) ground(b *strings.Builder, y int, c colours) {
	if _, bg := p.seen(c); bg != "" {
		fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n",
			margin+float64(p.at)*cellWidth, margin+y*cellHeight, float64(ansi.StringWidth(p.text))*cellWidth, cellHeight, bg)
	}
}

// words splits a piece at its wider gaps, so that what is in a column begins there in every font.
func (p *piece) words() []piece {
	var out []piece
	at := p.at
	for rest := p.text; rest != ""; {
		text := strings.TrimLeft(rest, " ")
		at += len(rest) - len(text)
		end := strings.Index(text, "  ")
		if end < 0 {
			end = len(text)
		}
		if word := strings.TrimRight(text[:end], " "); word != "" {
			out = append(out, piece{p.look, at, word})
		}
		at += ansi.StringWidth(text[:end])
		rest = text[end:]
	}
	return out
}

func (p *piece) draw(b *strings.Builder, y int, c colours) {
	fg, _ := p.seen(c)
	n := ansi.StringWidth(p.text)
	x := margin + float64(p.at)*cellWidth
	attrs := ""
	if fg != "" {
		attrs += ` fill="` + fg + `"`
	}
	if p.bold {
		attrs += ` font-weight="bold"`
	}
	if p.faint {
		attrs += ` opacity="0.7"`
	}
	if p.under {
		attrs += ` text-decoration="underline"`
	}
	// textLength keeps columns aligned whatever font there is.
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" textLength="%.1f" lengthAdjust="spacingAndGlyphs"%s>%s</text>`+"\n",
		x, float64(margin+y*cellHeight)+13.5, float64(n)*cellWidth, attrs, html.EscapeString(p.text))
}

// pieces splits a line where its look changes.
func pieces(line string, c colours) []piece {
	var out []piece
	var now look
	at := 0
	for line != "" {
		if params, rest, ok := sgr(line); ok {
			now.apply(params, c)
			line = rest
			continue
		}
		end := strings.IndexByte(line, 0x1b)
		if end < 0 {
			end = len(line)
		}
		out = append(out, piece{now, at, line[:end]})
		at += ansi.StringWidth(line[:end])
		line = line[end:]
	}
	return out
}

// sgr takes a sequence off the beginning of a line. Others are dropped.
func sgr(line string) (params []int, rest string, ok bool) {
	if !strings.HasPrefix(line, "\x1b") {
		return nil, line, false
	}
	end := strings.IndexByte(line, 'm')
	if !strings.HasPrefix(line, "\x1b[") || end < 0 {
		return nil, line[1:], true
	}
	for _, s := range strings.FieldsFunc(line[2:end], func(r rune) bool { return r == ';' || r == ':' }) {
		n, _ := strconv.Atoi(s) // what is no number is 0, as terminals have it
		params = append(params, n)
	}
	if len(params) == 0 {
		params = []int{0}
	}
	return params, line[end+1:], true
}

func (l *look) apply(params []int, c colours) {
	for i := 0; i < len(params); i++ {
		switch p := params[i]; {
		case p == 0:
			*l = look{}
		case p == 1:
			l.bold = true
		case p == 2:
			l.faint = true
		case p == 4:
			l.under = true
		case p == 7:
			l.backwards = true
		case p == 22:
			l.bold, l.faint = false, false
		case p == 24:
			l.under = false
		case p == 27:
			l.backwards = false
		case p >= 30 && p <= 37:
			l.fg = c.sixteen[p-30]
		case p >= 90 && p <= 97:
			l.fg = c.sixteen[p-90+8]
		case p == 39:
			l.fg = ""
		case p >= 40 && p <= 47:
			l.bg = c.sixteen[p-40]
		case p >= 100 && p <= 107:
			l.bg = c.sixteen[p-100+8]
		case p == 49:
			l.bg = ""
		case p == 38:
			i += extended(&l.fg, params[i+1:], c)
		case p == 48:
			i += extended(&l.bg, params[i+1:], c)
		}
	}
}

// extended reads a colour of 256 or of all, and returns how many parameters it has.
func extended(to *string, params []int, c colours) int {
	switch {
	case len(params) >= 2 && params[0] == 5:
		*to = of256(params[1], c)
		return 2
	case len(params) >= 4 && params[0] == 2:
		*to = fmt.Sprintf("#%02x%02x%02x", params[1], params[2], params[3])
		return 4
	}
	return len(params)
}

// of256 is a colour of xterm's palette: the 16, a cube of 6×6×6, and 24 greys.
func of256(n int, c colours) string {
	if n < 16 {
		return c.sixteen[max(n, 0)]
	}
	if n >= 232 {
		v := 8 + 10*(n-232)
		return fmt.Sprintf("#%02x%02x%02x", v, v, v)
	}
	level := func(i int) int { return []int{0, 95, 135, 175, 215, 255}[i] }
	n -= 16
	return fmt.Sprintf("#%02x%02x%02x", level(n/36), level(n/6%6), level(n%6))
}
