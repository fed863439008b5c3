package terminal

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// Filter passes console output on to a terminal. The bytes come from a
// run, so they are a stranger's: text, line breaks, carriage returns, tabs and
// colours (SGR) pass. Everything else that a terminal would obey is shown as
// text in its place: controls with a caret (^[ for escape, ^G for the bell), and
// controls beyond ASCII, and characters that turn the direction of writing, by
// their number (<U+202E>). So cursor movements, titles, the clipboard (OSC 52), links and device
// questions are seen, and do nothing. It keeps its state over writes, which may cut anywhere.
//
// Two sequences are dropped, since programs that only colour write them all the
// time and they would do nothing here: erase in line (CSI K), and the choice of ASCII (ESC ( B).
//
// The sequences are ECMA-48's.
type Filter struct {
	w     io.Writer
	color bool // let SGR pass
	state filterState
	seq   []byte // the sequence so far, without ESC
	part  []byte // the first bytes of a character that is not complete
	out   []byte
	dyed  bool // colours were passed on
}

// NewFilter passes on to w; color lets SGR pass.
func NewFilter(w io.Writer, color bool) *Filter { return &Filter{w: w, color: color} }

type filterState int

const (
	ground  filterState = iota
	escape              // after ESC
	charset             // after ESC (
	csi                 // after ESC [
)

// maxSGR is the longest colour sequence that is believed.
const maxSGR = 64

// Write filters p. It takes all of it, unless the terminal fails.
func (f *Filter) Write(p []byte) (int, error) {
	f.out = f.out[:0]
	taken := len(p)
	for len(p) > 0 {
		if n := f.plain(p); n > 0 {
			f.out = append(f.out, p[:n]...)
			p = p[n:]
			continue
		}
		f.byte(p[0])
		p = p[1:]
	}
	if _, err := f.w.Write(f.out); err != nil {
		return 0, err
	}
	return taken, nil
}

// plain is how many bytes of p pass as they are: most of any output does.
func (f *Filter) plain(p []byte) int {
	if f.state != ground || len(f.part) > 0 {
		return 0
	}
	for i, b := range p {
		if (b < 0x20 && b != '\n' && b != '\t' && b != '\r') || b >= 0x7f {
			return i
		}
	}
	return len(p)
}

// Close shows what was not complete, and ends colours that the output left on.
func (f *Filter) Close() error {
	f.out = f.out[:0]
	f.show()
	if f.dyed {
		f.dyed = false
		f.out = append(f.out, "\x1b[0m"...)
	}
	if len(f.out) == 0 {
		return nil
	}
	_, err := f.w.Write(f.out)
	return err
}

// byte collects bytes to characters. What is not UTF-8 shows as U+FFFD.
func (f *Filter) byte(b byte) {
	f.part = append(f.part, b)
	for len(f.part) > 0 && utf8.FullRune(f.part) {
		r, size := utf8.DecodeRune(f.part)
		f.part = append(f.part[:0], f.part[size:]...)
		f.rune(r)
	}
}

func (f *Filter) rune(r rune) {
	switch f.state {
	case ground:
		f.text(r)
	case escape:
		f.escaped(r)
	case charset:
		if r == 'B' {
			f.state, f.seq = ground, f.seq[:0]
			return
		}
		f.show()
		f.text(r)
	case csi:
		f.control(r)
	}
}

func (f *Filter) text(r rune) {
	switch {
	case r == 0x1b:
		f.state, f.seq = escape, f.seq[:0]
	case r == '\n' || r == '\r' || r == '\t':
		f.out = append(f.out, byte(r))
	case r < 0x20 || r == 0x7f:
		f.out = append(f.out, '^', byte(r)^0x40)
	case Unsafe(r):
		f.out = fmt.Appendf(f.out, "<U+%04X>", r)
	default:
		f.out = utf8.AppendRune(f.out, r)
	}
}

// escaped takes the character after ESC.
func (f *Filter) escaped(r rune) {
	switch r {
	case '[':
		f.state, f.seq = csi, append(f.seq, '[')
	case '(':
		f.state, f.seq = charset, append(f.seq, '(')
	default:
		f.show()
		f.text(r)
	}
}

// control collects a CSI sequence up to its final byte.
func (f *Filter) control(r rune) {
	switch {
	case r == 'm' && isSGR(f.seq[1:]):
		if f.color {
			f.out = append(append(append(f.out, 0x1b), f.seq...), 'm')
			f.dyed = true
		}
		f.state, f.seq = ground, f.seq[:0]
	case r == 'K' && isSGR(f.seq[1:]):
		f.state, f.seq = ground, f.seq[:0]
	case r >= 0x20 && r <= 0x3f && len(f.seq) <= maxSGR:
		f.seq = append(f.seq, byte(r))
	default: // another sequence, or none
		f.show()
		f.text(r)
	}
}

// show writes the sequence so far as text.
func (f *Filter) show() {
	if f.state != ground {
		f.out = append(append(f.out, '^', '['), f.seq...)
		f.state, f.seq = ground, f.seq[:0]
	}
}

// isSGR says whether parameters are those of a colour: digits, ';' and ':'.
func isSGR(seq []byte) bool {
	for _, b := range seq {
		if (b < '0' || b > '9') && b != ';' && b != ':' {
			return false
		}
	}
	return len(seq) <= maxSGR
}
