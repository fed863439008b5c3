// Package mask keeps secrets out of what a run prints and says. It looks for
// each value as it is and in the forms that tools give it (see forms.go), in
// texts and in streams, however a stream is cut.
//
// It is a net, not a wall: a script that wants to show a secret can always
// write it in a form that nobody looks for.
package mask

import (
	"encoding/binary"
	"slices"
	"sort"
	"strings"

	"ci/pkg/ci"
)

// Mask knows what to look for. A nil Mask looks for nothing. It never changes,
// and is safe for concurrent use.
type Mask struct {
	forms []string // sorted, distinct, each of minForm to maxForm bytes
	// begins is a bitmap over a hash of a form's first four bytes, so that
	// nearly all of a stream is passed over at once.
	begins [1 << (hashBits - 6)]uint64
	text   []byte
}

const (
	minForm  = ci.MinMasked
	maxForm  = 64
	hashBits = 17
)

// New makes a mask for values; nil when none of them can be masked. Values
// under ci.MinMasked bytes can't.
func New(values ...string) *Mask {
	var forms []string
	for _, v := range values {
		forms = appendForms(forms, v)
	}
	if len(forms) == 0 {
		return nil
	}
	slices.Sort(forms)
	m := &Mask{forms: slices.Compact(forms)}
	for _, f := range m.forms {
		h := hash(binary.LittleEndian.Uint32([]byte(f)))
		m.begins[h>>6] |= 1 << (h & 63)
	}
	m.text = []byte(m.stand())
	return m
}

// stand chooses what stands for a secret: a text that no form has a byte of,
// so that none can arise where it joins what is around it.
func (m *Mask) stand() string {
	for _, text := range []string{"***", "•••", "###", "███", "___", "$$$", "@@@", "~~~"} {
		if !slices.ContainsFunc(m.forms, func(f string) bool { return strings.ContainsAny(f, text) }) {
			return text
		}
	}
	return "***"
}

// String returns s without what is looked for.
func (m *Mask) String(s string) string {
	if m == nil {
		return s
	}
	var b strings.Builder
	st := m.Stream(func(p []byte) error { b.Write(p); return nil })
	_ = st.Write([]byte(s)) // a Builder takes everything
	_ = st.Close()
	return b.String()
}

func hash(first uint32) uint32 { return first * 0x9E3779B1 >> (32 - hashBits) }

// next returns the first place from i on where a form may begin.
func (m *Mask) next(data []byte, i int) int {
	for ; i+4 <= len(data); i++ {
		h := hash(binary.LittleEndian.Uint32(data[i:]))
		if m.begins[h>>6]&(1<<(h&63)) != 0 {
			return i
		}
	}
	return i
}

// match returns the length of the longest form that data begins with, 0 for
// none, and whether all of data is the beginning of a longer one.
func (m *Mask) match(data []byte) (n int, more bool) {
	lo, hi := 0, len(m.forms)
	for d := 0; ; d++ {
		// forms[lo:hi] are those that begin with data[:d].
		if d > 0 && len(m.forms[lo]) == d {
			n = d
			if lo++; lo == hi {
				return n, false
			}
		}
		if d == len(data) {
			return n, true
		}
		lo, hi = m.narrow(lo, hi, d, data[d])
		if lo == hi {
			return n, false
		}
	}
}

// narrow returns which of forms[lo:hi], all longer than d and alike before it, have b at d.
func (m *Mask) narrow(lo, hi, d int, b byte) (int, int) {
	if hi-lo == 1 {
		if m.forms[lo][d] == b {
			return lo, hi
		}
		return lo, lo
	}
	some := m.forms[lo:hi]
	first := sort.Search(len(some), func(i int) bool { return some[i][d] >= b })
	last := sort.Search(len(some), func(i int) bool { return some[i][d] > b })
	return lo + first, lo + last
}
