package cli

import (
	"io"
	"unicode/utf8"
)

// consoleFilter passes console output on to a terminal. The bytes come from a
// run, so they are a stranger's: text, line breaks, carriage returns, tabs and
// colours (SGR) pass. Everything else that a terminal would obey is dropped:
// other CSI sequences, OSC (titles, clipboard), DCS, APC, PM, SOS, single
// escapes, C0 and C1 controls, and characters that turn the direction of
// writing. It keeps its state over writes, which may cut anywhere.
//
// The sequences are ECMA-48's.
type consoleFilter struct {
	w     io.Writer
	color bool // let SGR pass
	state filterState
	seq   []byte // the CSI sequence so far
	part  []byte // the first bytes of a character that is not complete
	out   []byte
	dyed  bool // colours were passed on
}

type filterState int

const (
	ground       filterState = iota
	escape                   // after ESC
	escapeMiddle             // after ESC and an intermediate byte
	csi                      // after ESC [
	stringBody               // in OSC, DCS, APC, PM or SOS
	stringEscape             // there, after ESC
)

// maxSGR is the longest colour sequence that is believed.
const maxSGR = 64

// Write filters p. It takes all of it, unless the terminal fails.
func (f *consoleFilter) Write(p []byte) (int, error) {
	f.out = f.out[:0]
	for _, b := range p {
		f.byte(b)
	}
	if _, err := f.w.Write(f.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close ends colours that the output left on.
func (f *consoleFilter) Close() error {
	if !f.dyed {
		return nil
	}
	f.dyed = false
	_, err := io.WriteString(f.w, "\x1b[0m")
	return err
}

// byte collects bytes to characters. What is not UTF-8 shows as U+FFFD.
func (f *consoleFilter) byte(b byte) {
	f.part = append(f.part, b)
	for len(f.part) > 0 && utf8.FullRune(f.part) {
		r, size := utf8.DecodeRune(f.part)
		f.part = append(f.part[:0], f.part[size:]...)
		f.rune(r)
	}
}

func (f *consoleFilter) rune(r rune) {
	switch f.state {
	case ground:
		f.text(r)
	case escape:
		f.escaped(r)
	case escapeMiddle:
		if r < 0x20 || r > 0x2f {
			f.state = ground
		}
	case csi:
		f.control(r)
	case stringBody:
		switch r {
		case 0x1b:
			f.state = stringEscape
		case 0x07, 0x9c, 0x18, 0x1a: // BEL, ST, CAN, SUB
			f.state = ground
		case '\n': // never ended; it must not swallow the rest of the output
			f.state = ground
			f.text(r)
		}
	case stringEscape:
		f.state = stringBody
		if r == '\\' {
			f.state = ground
		} else if r != 0x1b {
			f.escaped(r) // ESC ends a string; what follows begins anew
		} else {
			f.state = stringEscape
		}
	}
}

func (f *consoleFilter) text(r rune) {
	switch {
	case r == 0x1b:
		f.state = escape
	case r >= 0x80 && r < 0xa0:
		f.introduce(r - 0x40) // C1: the same as ESC and a letter
	case r == '\n' || r == '\r' || r == '\t':
		f.out = append(f.out, byte(r))
	case unsafe(r): // dropped
	default:
		f.out = utf8.AppendRune(f.out, r)
	}
}

// escaped takes the character after ESC.
func (f *consoleFilter) escaped(r rune) {
	switch {
	case r == 0x1b:
		f.state = escape
	case r >= 0x20 && r <= 0x2f:
		f.state = escapeMiddle
	default:
		f.introduce(r)
	}
}

// introduce begins what ESC and r stand for.
func (f *consoleFilter) introduce(r rune) {
	switch r {
	case '[':
		f.state, f.seq = csi, f.seq[:0]
	case ']', 'P', 'X', '^', '_':
		f.state = stringBody
	default:
		f.state = ground
		if r == '\n' || r == '\r' { // nothing begins with these; they are the output's
			f.out = append(f.out, byte(r))
		}
	}
}

// control collects a CSI sequence up to its final byte.
func (f *consoleFilter) control(r rune) {
	switch {
	case r >= 0x40 && r <= 0x7e:
		f.state = ground
		if r == 'm' && f.color && isSGR(f.seq) {
			f.out = append(append(append(f.out, 0x1b, '['), f.seq...), 'm')
			f.dyed = true
		}
	case r >= 0x20 && r <= 0x3f:
		if len(f.seq) <= maxSGR {
			f.seq = append(f.seq, byte(r))
		}
	case r == 0x1b:
		f.state = escape
	default: // broken off
		f.state = ground
		f.text(r)
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
