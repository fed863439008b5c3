// Package scrollback keeps the output of a console outside of memory: in files
// without names, of a bounded size together, with an index that finds a line
// without reading what is before it. What is too much drops the oldest lines.
//
// What it gives back is harmless: text and colours (SGR), nothing else that a terminal obeys.
package scrollback

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"ci/pkg/terminal"
)

const (
	// MaxLine is how many bytes of a line stay together; a longer one goes on as the next line.
	MaxLine = 8 << 10
	// stride is how many lines lie between two marks of the index.
	stride = 64
	// maxColours bounds the colours that a line inherits, in bytes of SGR.
	maxColours = 128
)

// Line is one line of output.
type Line struct {
	// N counts all lines from the first that was printed, which is 0.
	N int
	// Text has no line end. It may hold SGR, carriage returns and tabs.
	Text []byte
	// Colours is the SGR that earlier lines left on.
	Colours string
	// Offset is its first byte's place in the output as the run wrote it.
	Offset int64
}

// Scrollback is safe for one writer and any number of readers.
type Scrollback struct {
	dir     string
	limit   int64 // bytes of all segments
	segment int64 // bytes of one
	filter  *terminal.Filter

	mu      sync.Mutex
	parts   []*part // oldest first
	size    int64
	lines   int // all that began, the dropped ones too
	col     int // bytes of the last line that are there; 0 when the next byte begins a line
	colours []byte
	batch   []byte
	err     error

	// Places in the output as it was written: where its last line begins, and how much
	// of it came out of the filter; where all ends, and whether with a line; and where the last line
	// begins that is kept, which is another one where a line is too long.
	from, out, to int64
	ended         bool
	line          int64
}

// part is one file of lines.
type part struct {
	f     *os.File
	first int // its first line
	size  int64
	marks []mark // of every stride-th line
}

type mark struct {
	at      int64
	offset  int64 // of the line in the output
	colours string
}

// New makes an empty scrollback whose files lie in dir and hold at most limit bytes.
func New(dir string, limit int64) *Scrollback {
	s := &Scrollback{dir: dir, limit: limit, segment: max(limit/16, 4*MaxLine)}
	s.filter = terminal.NewFilter(writer(s.add), true)
	return s
}

type writer func([]byte) error

func (w writer) Write(p []byte) (int, error) { return len(p), w(p) }

// Write takes output as a run wrote it. It fails when the disk does.
func (s *Scrollback) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rest := p; len(rest) > 0; { // line by line, to know where each of them began
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 {
			n = len(rest)
		}
		if s.ended {
			s.from, s.out = s.to, 0
		}
		s.to, s.ended = s.to+int64(n), rest[n-1] == '\n'
		if _, err := s.filter.Write(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	s.flush()
	return len(p), s.err
}

// Close frees the files.
func (s *Scrollback) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range s.parts {
		errs = append(errs, p.f.Close())
	}
	s.parts, s.err = nil, os.ErrClosed
	return errors.Join(errs...)
}

// Range is which lines there are: from first up to, and without, end.
func (s *Scrollback) Range() (first, end int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parts) == 0 {
		return s.lines, s.lines
	}
	return s.parts[0].first, s.lines
}

// add takes filtered bytes. s.mu is held.
func (s *Scrollback) add(p []byte) error {
	for len(p) > 0 && s.err == nil {
		n, ends := len(p), false
		if i := bytes.IndexByte(p[:min(n, MaxLine-s.col+1)], '\n'); i >= 0 {
			n, ends = i+1, true
		} else if n > MaxLine-s.col {
			n, ends = MaxLine-s.col, true
		}
		s.piece(p[:n], ends)
		s.out += int64(n)
		p = p[n:]
	}
	return s.err
}

// piece adds a piece of one line; ends says that it is the line's last.
func (s *Scrollback) piece(p []byte, ends bool) {
	if s.col == 0 {
		s.begin()
		if s.err != nil {
			return
		}
	}
	s.batch = append(s.batch, p...)
	s.colours = inherit(s.colours, p)
	s.col += len(p)
	if ends {
		s.differ()
		s.col = 0
	}
}

// differs stands between a line and how many bytes more it had in the output,
// if it had not as many as it has here. The filter lets none of it through.
const differs = 0

// differ notes how many bytes more the last line had before it was filtered.
// For a line that is almost too long it does not; the next mark knows again.
func (s *Scrollback) differ() {
	more := s.to - s.line - int64(s.col)
	if more == 0 || s.col > MaxLine-24 {
		return
	}
	s.batch[len(s.batch)-1] = differs // it was the line's end
	s.batch = append(strconv.AppendInt(s.batch, more, 10), '\n')
}

// begin begins a line, and a new file when the last one is full.
func (s *Scrollback) begin() {
	if len(s.parts) == 0 || s.last().size+int64(len(s.batch)) >= s.segment {
		s.flush()
		s.roll()
		if s.err != nil {
			return
		}
	}
	if p := s.last(); (s.lines-p.first)%stride == 0 {
		p.marks = append(p.marks, mark{p.size + int64(len(s.batch)), s.from + s.out, string(s.colours)})
	}
	s.line = s.from + s.out
	s.lines++
}

func (s *Scrollback) last() *part { return s.parts[len(s.parts)-1] }

// roll opens a new file, and drops the oldest when they are too large together.
func (s *Scrollback) roll() {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		s.err = fmt.Errorf("the console can't be kept: %w", err)
		return
	}
	f, err := os.CreateTemp(s.dir, "console-*") // mode 0600
	if err != nil {
		s.err = fmt.Errorf("the console can't be kept: %w", err)
		return
	}
	_ = os.Remove(f.Name()) // the open file is enough; systems that refuse this keep a stray file
	s.parts = append(s.parts, &part{f: f, first: s.lines})
	for s.size+s.segment > s.limit && len(s.parts) > 1 {
		s.size -= s.parts[0].size
		_ = s.parts[0].f.Close() // nothing in it is wanted any more
		s.parts = s.parts[1:]
	}
}

// flush writes what was gathered to the last file.
func (s *Scrollback) flush() {
	if len(s.batch) == 0 || s.err != nil {
		return
	}
	p := s.last()
	n, err := p.f.WriteAt(s.batch, p.size)
	p.size += int64(n)
	s.size += int64(n)
	s.batch = s.batch[:0]
	if err != nil {
		s.err = fmt.Errorf("the console can't be kept: %w", err)
	}
}

// inherit is the SGR that is on after p, which begins with colours on.
func inherit(colours, p []byte) []byte {
	for {
		i := bytes.IndexByte(p, 0x1b)
		if i < 0 {
			return colours
		}
		p = p[i:]
		end := bytes.IndexByte(p, 'm')
		if end < 0 {
			return colours
		}
		switch params := p[2:end]; {
		case len(params) == 0 || string(params) == "0":
			colours = colours[:0]
		case len(colours)+end >= maxColours: // nobody needs so many; begin anew
			colours = append(colours[:0], p[:end+1]...)
		default:
			colours = append(colours, p[:end+1]...)
		}
		p = p[end+1:]
	}
}

// Lines returns the n lines from line from on, fewer at the end. Lines that
// were dropped are left out.
func (s *Scrollback) Lines(from, n int) []Line {
	var out []Line
	s.Scan(from, from+n, func(l Line) bool {
		l.Text = bytes.Clone(l.Text)
		out = append(out, l)
		return len(out) < n
	})
	return out
}

// Scan calls fn for the lines from up to end in their order until it says no.
// The text is only valid within the call. The writer is not held up: it waits for a block at most.
func (s *Scrollback) Scan(from, end int, fn func(Line) bool) {
	var r reader
	for from < end {
		if !s.seek(&r, &from) {
			return
		}
		for {
			l, ok := r.line()
			if !ok {
				break
			}
			if l.N >= end {
				return
			}
			if l.N < from {
				continue
			}
			from = l.N + 1
			if !fn(l) {
				return
			}
		}
		if from < r.stop { // the file was dropped or can't be read
			return
		}
	}
}

// seek points r at the file that has the line *from, or the first after it.
func (s *Scrollback) seek(r *reader, from *int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parts) == 0 || *from >= s.lines {
		return false
	}
	*from = max(*from, s.parts[0].first)
	i := len(s.parts) - 1
	for s.parts[i].first > *from {
		i--
	}
	p, stop := s.parts[i], s.lines
	if i+1 < len(s.parts) {
		stop = s.parts[i+1].first
	}
	k := (*from - p.first) / stride
	m := p.marks[k]
	*r = reader{s: s, p: p, at: m.at, end: p.size, n: p.first + k*stride, stop: stop, offset: m.offset, colours: []byte(m.colours), buf: r.buf[:0]}
	return true
}

// reader reads the lines of one file in order.
type reader struct {
	s       *Scrollback
	p       *part
	at, end int64 // next byte to read; where the file ended
	n, stop int   // next line; the first that is not in the file
	offset  int64 // of the next line in the output
	colours []byte
	buf     []byte // read and not given out
	used    int    // bytes of buf that were given out
}

const block = 64 << 10

// line returns the next line; its text is valid until the next call.
func (r *reader) line() (Line, bool) {
	if r.n >= r.stop {
		return Line{}, false
	}
	for {
		rest := r.buf[r.used:]
		size := bytes.IndexByte(rest[:min(len(rest), MaxLine+1)], '\n')
		switch {
		case size >= 0:
			return r.give(rest[:size], size+1), true
		case len(rest) > MaxLine:
			return r.give(rest[:MaxLine], MaxLine), true
		case r.at >= r.end: // the line is still being written
			return r.give(rest, len(rest)), len(rest) > 0
		}
		if !r.fill() {
			return Line{}, false
		}
	}
}

func (r *reader) give(text []byte, used int) Line {
	l := Line{N: r.n, Text: text, Colours: string(r.colours), Offset: r.offset}
	r.offset += int64(used)
	if i := bytes.IndexByte(text, differs); i >= 0 {
		more, _ := strconv.ParseInt(string(text[i+1:]), 10, 64) // we wrote it
		l.Text = text[:i]
		r.offset += more - int64(len(text)-i)
	}
	r.colours = inherit(r.colours, l.Text)
	r.used += used
	r.n++
	return l
}

// fill reads a block more.
func (r *reader) fill() bool {
	r.buf = append(r.buf[:0], r.buf[r.used:]...)
	r.used = 0
	have := len(r.buf)
	n := int(min(block, r.end-r.at))
	if cap(r.buf) < have+n {
		r.buf = append(make([]byte, 0, have+block), r.buf...)
	}
	r.buf = r.buf[:have+n]
	r.s.mu.Lock()
	k, err := r.p.f.ReadAt(r.buf[have:], r.at)
	r.s.mu.Unlock()
	r.buf = r.buf[:have+k]
	r.at += int64(k)
	return k > 0 && (err == nil || err == io.EOF)
}
