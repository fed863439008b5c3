package theme

import (
	"bytes"
	"strconv"
	"strings"
)

// AskGround is the question for a terminal's background colour (xterm's OSC 11).
const AskGround = "\x1b]11;?\x1b\\"

// Answers takes a terminal's answers (OSC) out of what is typed. Answers may
// come late and in pieces; nobody must take them for keys.
type Answers struct {
	held []byte
	// Ground is called with what an answer to AskGround says.
	Ground func(dark bool)
}

// maxAnswer is the longest answer that is waited for; what is longer is no answer.
const maxAnswer = 128

// Held is how many bytes of an answer wait for its end.
func (a *Answers) Held() int { return len(a.held) }

// Filter returns what of p was typed. What may be the beginning of an answer is
// kept for the next call, but a lone ESC is a key.
func (a *Answers) Filter(p []byte) []byte {
	p = append(a.held, p...)
	a.held = nil
	var typed []byte
	for len(p) > 0 {
		i := bytes.Index(p, []byte("\x1b]"))
		if i < 0 {
			return append(typed, p...)
		}
		typed, p = append(typed, p[:i]...), p[i:]
		body, rest, ok := answer(p)
		if !ok {
			if len(p) > maxAnswer {
				return append(typed, p...)
			}
			a.held = bytes.Clone(p)
			return typed
		}
		a.take(body)
		p = rest
	}
	return typed
}

// answer splits p, which begins with an OSC, after its end (BEL or ST).
func answer(p []byte) (body string, rest []byte, ok bool) {
	for i := 2; i < len(p); i++ {
		switch {
		case p[i] == 0x07:
			return string(p[2:i]), p[i+1:], true
		case p[i] == 0x1b && i+1 < len(p) && p[i+1] == '\\':
			return string(p[2:i]), p[i+2:], true
		}
	}
	return "", nil, false
}

func (a *Answers) take(body string) {
	spec, ok := strings.CutPrefix(body, "11;rgb:")
	if !ok || a.Ground == nil {
		return
	}
	parts := strings.Split(spec, "/")
	if len(parts) < 3 {
		return
	}
	weights := [3]float64{0.299, 0.587, 0.114} // the luma of ITU-R BT.601
	luma := 0.0
	for i, w := range weights {
		n, err := strconv.ParseUint(parts[i], 16, 32)
		if err != nil || len(parts[i]) > 4 {
			return
		}
		luma += w * float64(n) / float64(uint64(1)<<(4*len(parts[i]))-1)
	}
	a.Ground(luma < 0.5)
}
